//! Types as they are written in SQL.

use arrow::datatypes::DataType;

/// A type as it is written in SQL.
pub(super) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision}, {scale})"),
        DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytes".into(),
        other => other.to_string(),
    }
}

/// The same for a type that a server names as Arrow does; as the server names it if that is unknown.
pub(super) fn sql_type_named(name: &str) -> String {
    name.parse::<DataType>().map_or_else(|_| name.to_owned(), |data_type| sql_type(&data_type))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn types_that_have_a_name_in_sql_are_called_so_wherever_they_come_from() {
        let texts = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for (data_type, expected) in [
            (DataType::Utf8View, "text"),
            (texts, "text"),
            (DataType::Int64, "bigint"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp with time zone"),
            (DataType::FixedSizeBinary(16), "bytes"),
            (DataType::Decimal128(18, 2), "numeric(18, 2)"),
        ] {
            assert_eq!(
                (sql_type(&data_type), sql_type_named(&data_type.to_string())),
                (expected.into(), expected.into())
            );
        }
        assert_eq!(sql_type_named("Hypercube"), "Hypercube");
    }
}
