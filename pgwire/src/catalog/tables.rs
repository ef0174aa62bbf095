//! The tables of `pg_catalog` and `information_schema`: what they say of the lake's tables, as rows of values.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::empty;
use crate::format::types::{TYPES, ValueType};

/// The one database there is, whatever clients call it.
pub(crate) const DATABASE: &str = "dewpond";

/// Who owns everything.
pub(crate) const OWNER: &str = "dewpond";

/// The numbers of schemas, and of the first of the lake's tables.
pub(crate) const PG_CATALOG_OID: i64 = 11;
pub(crate) const PUBLIC_OID: i64 = 2200;
const INFORMATION_SCHEMA_OID: i64 = 13_000;
const FIRST_TABLE_OID: i64 = 16_384;
const OWNER_OID: i64 = 10;
const HEAP_OID: i64 = 2;

/// A table of the lake, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct LakeTable {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
}

/// A value of a catalog's row.
#[derive(Clone, Debug)]
enum Cell {
    None,
    Text(String),
    Number(i64),
    Flag(bool),
}

macro_rules! cells {
    ($type:ty, $variant:ident) => {
        impl From<$type> for Cell {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    };
}

cells!(&str, Text);
cells!(String, Text);
cells!(i64, Number);
cells!(u32, Number);
cells!(i16, Number);
cells!(bool, Flag);

macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Cell::from($value)),*] };
}

/// The number of a table.
pub(crate) fn oid_of_table(place: usize) -> i64 {
    FIRST_TABLE_OID + place as i64
}

/// The tables of `pg_catalog`.
pub(crate) fn pg_catalog(tables: &[LakeTable], settings: &[(&str, &str)]) -> Vec<(String, RecordBatch)> {
    let numbered = || tables.iter().enumerate().map(|(place, table)| (oid_of_table(place), table));
    let mut made = vec![
        table(
            "pg_namespace oid:i nspname:t nspowner:i nspacl:l",
            [(PG_CATALOG_OID, "pg_catalog"), (PUBLIC_OID, "public"), (INFORMATION_SCHEMA_OID, "information_schema")]
                .map(|(oid, name)| vec![oid.into(), name.into(), OWNER_OID.into(), Cell::None]),
        ),
        table(
            "pg_class oid:i relname:t relnamespace:i reltype:i reloftype:i relowner:i relam:i relfilenode:i \
             reltablespace:i relpages:i reltuples:f relallvisible:i reltoastrelid:i relhasindex:b relisshared:b \
             relpersistence:t relkind:t relnatts:i relchecks:i relhasrules:b relhastriggers:b relhassubclass:b \
             relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relrewrite:i \
             relhasoids:b relacl:l reloptions:l relpartbound:t",
            numbered().map(|(oid, table)| {
                let mut row = row![oid, &*table.name, PUBLIC_OID, 0_i64, 0_i64, OWNER_OID, HEAP_OID, oid, 0_i64, 0_i64];
                row.extend(row![
                    -1_i64,
                    0_i64,
                    0_i64,
                    false,
                    false,
                    "p",
                    "r",
                    table.schema.fields().len() as i64,
                    0_i64
                ]);
                row.extend(row![false, false, false, false, false, true, "n", false, 0_i64, false]);
                row.extend([Cell::None, Cell::None, Cell::None]);
                row
            }),
        ),
        table(
            "pg_attribute attrelid:i attname:t atttypid:i attstattarget:i attlen:i attnum:i attndims:i attcacheoff:i \
             atttypmod:i attbyval:b attalign:t attstorage:t attcompression:t attnotnull:b atthasdef:b atthasmissing:b \
             attidentity:t attgenerated:t attisdropped:b attislocal:b attinhcount:i attcollation:i attacl:l \
             attoptions:l attfdwoptions:l attmissingval:t",
            numbered().flat_map(|(oid, table)| {
                table.schema.fields().iter().enumerate().map(move |(place, field)| {
                    let of = ValueType::of_arrow(field.data_type());
                    let mut row = row![oid, &**field.name(), of.oid(), -1_i64, of.bytes(), place as i64 + 1];
                    row.extend(row![i64::from(matches!(of, ValueType::Array(_))), -1_i64, -1_i64, of.bytes() > 0]);
                    row.extend(row![
                        "i",
                        "x",
                        "",
                        !field.is_nullable(),
                        false,
                        false,
                        "",
                        "",
                        false,
                        true,
                        0_i64,
                        0_i64
                    ]);
                    row.extend([Cell::None, Cell::None, Cell::None, Cell::None]);
                    row
                })
            }),
        ),
        table(
            "pg_type oid:i typname:t typnamespace:i typowner:i typlen:i typbyval:b typtype:t typcategory:t \
             typispreferred:b typisdefined:b typdelim:t typrelid:i typsubscript:t typelem:i typarray:i typinput:t \
             typoutput:t typreceive:t typsend:t typmodin:t typmodout:t typalign:t typstorage:t typnotnull:b \
             typbasetype:i typtypmod:i typndims:i typcollation:i typdefault:t typacl:l",
            TYPES.iter().flat_map(|of| {
                let one = (ValueType::One(of), of.category, 0, of.array_oid);
                let array = (ValueType::Array(of), "A", of.oid, 0);
                [one, array].into_iter().filter(|(of, ..)| of.oid() != 0).map(|(of, category, item, array)| {
                    let (name, is_array) = (of.name(), matches!(of, ValueType::Array(_)));
                    let function = |what: &str| match is_array {
                        true => format!("array_{what}"),
                        false => format!("{name}{what}"),
                    };
                    let mut row = row![of.oid(), &*name, PG_CATALOG_OID, OWNER_OID, of.bytes(), of.bytes() > 0, "b"];
                    row.extend(row![category, false, true, ",", 0_i64, "-", item, array, function("in")]);
                    row.extend(row![function("out"), function("recv"), function("send"), "-", "-", "i", "x", false]);
                    row.extend(row![0_i64, -1_i64, 0_i64, 0_i64]);
                    row.extend([Cell::None, Cell::None]);
                    row
                })
            }),
        ),
        table(
            "pg_database oid:i datname:t datdba:i encoding:i datlocprovider:t datistemplate:b datallowconn:b \
             datconnlimit:i datfrozenxid:i dattablespace:i datcollate:t datctype:t daticulocale:t datcollversion:t datacl:l",
            [{
                let mut row = row![5_i64, DATABASE, OWNER_OID, 6_i64, "c", false, true, -1_i64, 0_i64, 1_663_i64];
                row.extend(row!["C", "C"]);
                row.extend([Cell::None, Cell::None, Cell::None]);
                row
            }],
        ),
        table(
            "pg_roles rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b \
             rolconnlimit:i rolpassword:t rolvaliduntil:t rolbypassrls:b rolconfig:t oid:i",
            [{
                let mut row = row![OWNER, false, true, false, false, true, false, -1_i64];
                row.extend([Cell::None, Cell::None, false.into(), Cell::None, OWNER_OID.into()]);
                row
            }],
        ),
        table(
            "pg_user usename:t usesysid:i usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:t useconfig:t",
            [{
                let mut row = row![OWNER, OWNER_OID, false, false, false, false];
                row.extend([Cell::None, Cell::None, Cell::None]);
                row
            }],
        ),
        table("pg_am oid:i amname:t amhandler:t amtype:t", [row![HEAP_OID, "heap", "-", "t"]]),
        table(
            "pg_tables schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
            numbered().map(|(_, table)| {
                let mut row = row!["public", &*table.name, OWNER];
                row.extend([Cell::None, false.into(), false.into(), false.into(), false.into()]);
                row
            }),
        ),
        table(
            "pg_settings name:t setting:t unit:t category:t short_desc:t context:t vartype:t source:t boot_val:t reset_val:t",
            settings.iter().map(|(name, value)| {
                let mut row = row![*name, *value];
                row.extend([Cell::None, "Dewpond".into(), "".into(), "internal".into(), "string".into()]);
                row.extend(row!["default", *value, *value]);
                row
            }),
        ),
    ];
    made.extend(empty::PG_CATALOG.iter().map(|spec| table(spec, [])));
    made
}

/// The tables of `information_schema`.
pub(crate) fn information_schema(tables: &[LakeTable]) -> Vec<(String, RecordBatch)> {
    let mut made = vec![
        table(
            "schemata catalog_name:t schema_name:t schema_owner:t default_character_set_catalog:t \
             default_character_set_schema:t default_character_set_name:t sql_path:t",
            ["pg_catalog", "public", "information_schema"].map(|name| {
                let mut row = row![DATABASE, name, OWNER];
                row.extend([Cell::None, Cell::None, Cell::None, Cell::None]);
                row
            }),
        ),
        table(
            "tables table_catalog:t table_schema:t table_name:t table_type:t self_referencing_column_name:t \
             reference_generation:t user_defined_type_catalog:t user_defined_type_schema:t user_defined_type_name:t \
             is_insertable_into:t is_typed:t commit_action:t",
            tables.iter().map(|table| {
                let mut row = row![DATABASE, "public", &*table.name, "BASE TABLE"];
                row.extend([Cell::None, Cell::None, Cell::None, Cell::None, Cell::None]);
                row.extend(row!["NO", "NO"]);
                row.push(Cell::None);
                row
            }),
        ),
        table(
            "columns table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i column_default:t \
             is_nullable:t data_type:t character_maximum_length:i character_octet_length:i numeric_precision:i \
             numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type:t interval_precision:i \
             character_set_name:t collation_name:t domain_catalog:t domain_schema:t domain_name:t udt_catalog:t \
             udt_schema:t udt_name:t dtd_identifier:t is_self_referencing:t is_identity:t identity_generation:t \
             identity_start:t identity_increment:t is_generated:t generation_expression:t is_updatable:t",
            tables.iter().flat_map(|table| {
                table.schema.fields().iter().enumerate().map(move |(place, field)| {
                    let of = ValueType::of_arrow(field.data_type());
                    let sql_name = match of {
                        ValueType::One(_) => of.sql_name(),
                        ValueType::Array(_) => "ARRAY".to_owned(),
                    };
                    let (precision, scale) = match field.data_type() {
                        DataType::Int64 => (64_i64.into(), 0_i64.into()),
                        DataType::Int32 => (32_i64.into(), 0_i64.into()),
                        DataType::Int16 | DataType::Int8 => (16_i64.into(), 0_i64.into()),
                        DataType::Float64 => (53_i64.into(), Cell::None),
                        DataType::Decimal128(precision, scale) => {
                            (i64::from(*precision).into(), i64::from(*scale).into())
                        }
                        _ => (Cell::None, Cell::None),
                    };
                    let time = matches!(field.data_type(), DataType::Timestamp(..)).then_some(Cell::Number(6));
                    let mut row = row![DATABASE, "public", &*table.name, &**field.name(), place as i64 + 1];
                    row.extend([Cell::None, if field.is_nullable() { "YES" } else { "NO" }.into(), sql_name.into()]);
                    row.extend([Cell::None, Cell::None, precision, Cell::None, scale, time.unwrap_or(Cell::None)]);
                    row.extend((0..7).map(|_| Cell::None));
                    row.extend(row![DATABASE, "pg_catalog", of.name(), (place + 1).to_string(), "NO", "NO"]);
                    row.extend([Cell::None, Cell::None, Cell::None, "NEVER".into(), Cell::None, "NO".into()]);
                    row
                })
            }),
        ),
    ];
    made.extend(empty::INFORMATION_SCHEMA.iter().map(|spec| table(spec, [])));
    made
}

/// A table of the rows, by its name and its columns: `name column:kind …`, where a kind is `t`ext, a whole number (`i`),
/// a number (`f`), `b`oolean, or a list of numbers (`l`).
fn table(spec: &str, rows: impl IntoIterator<Item = Vec<Cell>>) -> (String, RecordBatch) {
    let mut words = spec.split_whitespace();
    let name = words.next().expect("a table has a name").to_owned();
    let columns: Vec<(&str, &str)> = words.map(|word| word.split_once(':').expect("a column has a kind")).collect();
    let rows: Vec<Vec<Cell>> = rows.into_iter().collect();
    for row in &rows {
        assert_eq!(row.len(), columns.len(), "a row of {name} has a value for each column");
    }
    let arrays = columns.iter().enumerate().map(|(place, (column, kind))| {
        let cells = rows.iter().map(move |row| &row[place]);
        let number = |cell: &Cell| match cell {
            Cell::Number(number) => Some(*number),
            _ => None,
        };
        let array: ArrayRef = match *kind {
            "i" => Arc::new(cells.map(number).collect::<Int64Array>()),
            "f" => Arc::new(cells.map(|cell| number(cell).map(|number| number as f64)).collect::<Float64Array>()),
            "b" => Arc::new(cells.map(|cell| Some(matches!(cell, Cell::Flag(true)))).collect::<BooleanArray>()),
            "l" => new_null_array(&DataType::new_list(DataType::Int64, true), rows.len()),
            _ => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Text(text) => Some(&**text),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
        };
        (Field::new(*column, array.data_type().clone(), true), array)
    });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = arrays.unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns are as long as each other");
    (name, batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_name_of_its_own_and_the_lakes_columns_are_listed() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("name", DataType::Utf8, false),
            Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
        ]));
        let tables = [LakeTable { name: "events".into(), schema }];
        for made in [pg_catalog(&tables, &[("a", "b")]), information_schema(&tables)] {
            let mut names: Vec<&String> = made.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), made.len());
        }
        let made = information_schema(&tables);
        let columns = &made.iter().find(|(name, _)| name == "columns").unwrap().1;
        let of = |name: &str| -> Vec<String> {
            let texts = columns.column_by_name(name).unwrap().as_any().downcast_ref::<StringArray>().unwrap();
            texts.iter().map(|text| text.unwrap_or("∅").to_owned()).collect()
        };
        assert_eq!(of("column_name"), ["name", "tags"]);
        assert_eq!(of("data_type"), ["text", "ARRAY"]);
        assert_eq!(of("udt_name"), ["text", "_text"]);
        assert_eq!(of("is_nullable"), ["NO", "YES"]);
    }
}
