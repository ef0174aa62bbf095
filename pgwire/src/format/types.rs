//! The types of PostgreSQL that answers have, and what Arrow calls them.

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// A type of PostgreSQL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) oid: u32,
    /// The type of arrays of it; 0 if there is none.
    pub(crate) array_oid: u32,
    /// Its name in `pg_type`.
    pub(crate) name: &'static str,
    /// Its name in SQL.
    pub(crate) sql_name: &'static str,
    /// How many bytes a value has; -1 if that depends on the value.
    pub(crate) bytes: i16,
    /// Its category in `pg_type`.
    pub(crate) category: &'static str,
}

macro_rules! types {
    ($($constant:ident $oid:literal $array_oid:literal $name:literal $sql_name:literal $bytes:literal $category:literal)*) => {
        $(pub(crate) const $constant: &PgType = &PgType {
            oid: $oid, array_oid: $array_oid, name: $name, sql_name: $sql_name, bytes: $bytes, category: $category,
        };)*

        /// All of them, by their number.
        pub(crate) const TYPES: &[&PgType] = &[$($constant),*];
    };
}

types! {
    BOOL 16 1000 "bool" "boolean" 1 "B"
    BYTEA 17 1001 "bytea" "bytea" -1 "U"
    CHAR 18 1002 "char" "\"char\"" 1 "Z"
    NAME 19 1003 "name" "name" 64 "S"
    INT8 20 1016 "int8" "bigint" 8 "N"
    INT2 21 1005 "int2" "smallint" 2 "N"
    INT4 23 1007 "int4" "integer" 4 "N"
    REGPROC 24 1008 "regproc" "regproc" 4 "N"
    TEXT 25 1009 "text" "text" -1 "S"
    OID 26 1028 "oid" "oid" 4 "N"
    JSON 114 199 "json" "json" -1 "U"
    FLOAT4 700 1021 "float4" "real" 4 "N"
    FLOAT8 701 1022 "float8" "double precision" 8 "N"
    UNKNOWN 705 0 "unknown" "unknown" -2 "X"
    BPCHAR 1042 1014 "bpchar" "character" -1 "S"
    VARCHAR 1043 1015 "varchar" "character varying" -1 "S"
    DATE 1082 1182 "date" "date" 4 "D"
    TIME 1083 1183 "time" "time without time zone" 8 "D"
    TIMESTAMP 1114 1115 "timestamp" "timestamp without time zone" 8 "D"
    TIMESTAMPTZ 1184 1185 "timestamptz" "timestamp with time zone" 8 "D"
    INTERVAL 1186 1187 "interval" "interval" 16 "T"
    NUMERIC 1700 1231 "numeric" "numeric" -1 "N"
    UUID 2950 2951 "uuid" "uuid" 16 "U"
    JSONB 3802 3807 "jsonb" "jsonb" -1 "U"
}

/// A type of a value, or of an array of such values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    One(&'static PgType),
    Array(&'static PgType),
}

impl ValueType {
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::One(of) => of.oid,
            Self::Array(of) => of.array_oid,
        }
    }

    pub(crate) fn bytes(self) -> i16 {
        match self {
            Self::One(of) => of.bytes,
            Self::Array(_) => -1,
        }
    }

    /// Its name in SQL.
    pub(crate) fn sql_name(self) -> String {
        match self {
            Self::One(of) => of.sql_name.to_owned(),
            Self::Array(of) => format!("{}[]", of.sql_name),
        }
    }

    /// Its name in `pg_type`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::One(of) => of.name.to_owned(),
            Self::Array(of) => format!("_{}", of.name),
        }
    }

    /// The type with this number.
    pub(crate) fn of_oid(oid: u32) -> Option<Self> {
        TYPES.iter().find_map(|of| match oid {
            0 => None,
            _ if of.oid == oid => Some(Self::One(of)),
            _ if of.array_oid == oid => Some(Self::Array(of)),
            _ => None,
        })
    }

    /// The type in which values of Arrow's are sent. Binary is text: an id as a UUID, other bytes in hexadecimal, as in every
    /// answer of Dewpond. What PostgreSQL has no type for is JSON.
    pub(crate) fn of_arrow(data_type: &DataType) -> Self {
        Self::One(match data_type {
            DataType::Boolean => BOOL,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
            DataType::Int32 | DataType::UInt16 => INT4,
            DataType::Int64 | DataType::UInt32 => INT8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => NUMERIC,
            DataType::Float16 | DataType::Float32 => FLOAT4,
            DataType::Float64 => FLOAT8,
            DataType::Date32 | DataType::Date64 => DATE,
            DataType::Time32(_) | DataType::Time64(_) => TIME,
            DataType::Timestamp(_, None) => TIMESTAMP,
            DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
            DataType::Duration(_) | DataType::Interval(_) => INTERVAL,
            DataType::Dictionary(_, values) => return Self::of_arrow(values),
            DataType::RunEndEncoded(_, values) => return Self::of_arrow(values.data_type()),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => {
                return match Self::of_arrow(item.data_type()) {
                    Self::One(of) if of.oid != JSON.oid => Self::Array(of),
                    // An array of arrays has the type of an array in PostgreSQL, and has to be even.
                    _ => Self::One(JSON),
                };
            }
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => JSON,
            _ => TEXT,
        })
    }

    /// The type in which Arrow holds a parameter.
    pub(crate) fn to_arrow(self) -> DataType {
        match self {
            Self::One(of) => arrow_of(of),
            Self::Array(of) => DataType::new_list(arrow_of(of), true),
        }
    }
}

fn arrow_of(of: &PgType) -> DataType {
    match of.oid {
        16 => DataType::Boolean,
        21 => DataType::Int16,
        23 => DataType::Int32,
        20 | 26 => DataType::Int64,
        700 => DataType::Float32,
        701 => DataType::Float64,
        1082 => DataType::Date32,
        1083 => DataType::Time64(TimeUnit::Microsecond),
        1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
        1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        1186 => DataType::Interval(IntervalUnit::MonthDayNano),
        1700 => DataType::Decimal128(38, 10),
        17 => DataType::Binary,
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_for_one_type() {
        let mut oids: Vec<u32> = TYPES.iter().flat_map(|of| [of.oid, of.array_oid]).filter(|oid| *oid != 0).collect();
        let count = oids.len();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), count);
        assert_eq!(ValueType::of_oid(1009), Some(ValueType::Array(TEXT)));
        assert_eq!(ValueType::of_oid(0), None);
    }

    #[test]
    fn values_of_arrow_have_a_type_of_postgresql() {
        let name = |of: &DataType| ValueType::of_arrow(of).sql_name();
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(name(&dictionary), "text");
        assert_eq!(name(&DataType::new_list(DataType::Utf8View, true)), "text[]");
        assert_eq!(name(&DataType::new_list(DataType::new_list(DataType::Int64, true), true)), "json");
        assert_eq!(name(&DataType::UInt64), "numeric");
        assert_eq!(name(&DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))), "timestamp with time zone");
    }
}
