//! The functions of PostgreSQL that clients call to find out where they are. Each answers from what does not change:
//! none reads a file, a setting of the process or another client's session.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::tables::{DATABASE, LakeTable, OWNER, oid_of_table};
use crate::format::types::ValueType;

/// What a function makes of a text, or of null.
type OfText<T> = Arc<dyn Fn(Option<&str>) -> T + Send + Sync>;

/// What a function answers.
#[derive(Clone)]
enum Answer {
    /// Always this, whatever it is asked about.
    Always(ScalarValue),
    /// A text for each text of an argument.
    OfText(usize, OfText<Option<String>>),
    /// A text for each number of the first argument.
    OfNumber(Arc<dyn Fn(Option<i64>) -> Option<String> + Send + Sync>),
    /// Yes or no for each text of the last argument.
    FlagOfLast(OfText<bool>),
    /// The parts of a name, for each text of the first argument.
    PartsOf(fn(&str) -> Vec<String>),
    /// A text with the other arguments in the places that it has for them.
    Format,
    /// A number for each text of the first argument.
    NumberOf(OfText<Option<i64>>),
}

struct CatalogFunction {
    name: String,
    signature: Signature,
    answer: Answer,
}

impl std::fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// There is one function of a name.
impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match &self.answer {
            Answer::Always(value) => value.data_type(),
            Answer::OfText(..) | Answer::OfNumber(_) | Answer::Format => DataType::Utf8,
            Answer::PartsOf(_) => DataType::new_list(DataType::Utf8, true),
            Answer::FlagOfLast(_) => DataType::Boolean,
            Answer::NumberOf(_) => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = |place: usize, of: &DataType| -> Result<ArrayRef> {
            let values = args.args.get(place).cloned().unwrap_or(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
            Ok(cast(&values.into_array(args.number_rows)?, of)?)
        };
        Ok(match &self.answer {
            Answer::Always(value) => ColumnarValue::Scalar(value.clone()),
            Answer::OfText(place, answer) => {
                let values = column(*place, &DataType::Utf8)?;
                array(values.as_string::<i32>().iter().map(|value| answer(value)).collect::<StringArray>())
            }
            Answer::OfNumber(answer) => {
                let values = column(0, &DataType::Int64)?;
                array(values.as_primitive::<Int64Type>().iter().map(|value| answer(value)).collect::<StringArray>())
            }
            Answer::FlagOfLast(answer) => {
                let values = column(args.args.len().saturating_sub(1), &DataType::Utf8)?;
                array(values.as_string::<i32>().iter().map(|value| Some(answer(value))).collect::<BooleanArray>())
            }
            Answer::PartsOf(parts) => {
                let values = column(0, &DataType::Utf8)?;
                let mut lists = ListBuilder::new(StringBuilder::new());
                for value in values.as_string::<i32>() {
                    lists.append_option(value.map(|value| parts(value).into_iter().map(Some)));
                }
                array(lists.finish())
            }
            Answer::Format => {
                let columns = (0..args.args.len()).map(|place| column(place, &DataType::Utf8));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                let row = |row: usize| {
                    let mut values = columns
                        .iter()
                        .map(|column| column.as_string::<i32>())
                        .map(|texts| texts.is_valid(row).then(|| texts.value(row)));
                    Some(formatted(values.next()??, values))
                };
                array((0..args.number_rows).map(row).collect::<StringArray>())
            }
            Answer::NumberOf(answer) => {
                let values = column(0, &DataType::Utf8)?;
                array(values.as_string::<i32>().iter().map(|value| answer(value)).collect::<Int64Array>())
            }
        })
    }
}

fn array(values: impl Array + 'static) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(values))
}

/// A name as it has to be written.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(plain);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as it has to be written.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `%s` is a text, `%I` a name, `%L` a text in quotes, `%%` a percent sign.
fn formatted<'a>(form: &str, mut values: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut text = String::new();
    let mut rest = form.chars();
    while let Some(c) = rest.next() {
        match (c, c == '%') {
            (c, false) => text.push(c),
            _ => match rest.next() {
                Some('s') => text.push_str(values.next().flatten().unwrap_or_default()),
                Some('I') => text.push_str(&quoted(values.next().flatten().unwrap_or_default())),
                Some('L') => text.push_str(&values.next().flatten().map_or_else(|| "NULL".to_owned(), literal)),
                other => text.extend(other),
            },
        }
    }
    text
}

/// The parts of a name such as `public."Events"`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for c in name.trim().chars() {
        let last = parts.last_mut().expect("there is one");
        match c {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            c if is_quoted => last.push(c),
            c => last.extend(c.to_lowercase()),
        }
    }
    parts
}

/// The numbers of the tables of PostgreSQL's own that others refer to.
const KNOWN_TABLES: [(&str, i64); 7] = [
    ("pg_class", 1259),
    ("pg_type", 1247),
    ("pg_proc", 1255),
    ("pg_attribute", 1249),
    ("pg_namespace", 2615),
    ("pg_database", 1262),
    ("pg_constraint", 2606),
];

/// The functions, over the lake's tables.
///
/// - `settings`: what `current_setting` tells.
pub(crate) fn functions(tables: &[LakeTable], settings: &'static [(&'static str, &'static str)]) -> Vec<ScalarUDF> {
    let text = |text: &str| Answer::Always(ScalarValue::from(text));
    let no_text = || Answer::Always(ScalarValue::Utf8(None));
    let flag = |flag: bool| Answer::Always(ScalarValue::from(flag));
    let number = |number: i64| Answer::Always(ScalarValue::from(number));
    let version = format!("PostgreSQL {} (Dewpond {})", super::VERSION, env!("CARGO_PKG_VERSION"));

    let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    let find = move |name: &str| {
        let name = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
        let known = KNOWN_TABLES.iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
        known.or_else(|| names.iter().position(|known| known == name).map(oid_of_table))
    };
    let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    let name_of = move |oid: Option<i64>| {
        let place = usize::try_from(oid? - oid_of_table(0)).ok();
        Some(place.and_then(|place| names.get(place).cloned()).unwrap_or_else(|| oid.unwrap_or(0).to_string()))
    };
    let type_name = |oid: Option<i64>| {
        let of = u32::try_from(oid?).ok().and_then(ValueType::of_oid);
        Some(of.map_or_else(|| "???".to_owned(), ValueType::sql_name))
    };
    let type_oid = |name: Option<&str>| {
        let name = name?.rsplit('.').next()?.trim_matches('"').to_lowercase();
        let named = |of: &ValueType| of.name() == name || of.sql_name() == name;
        let types = crate::format::types::TYPES.iter().flat_map(|of| [ValueType::One(of), ValueType::Array(of)]);
        types.filter(|of| of.oid() != 0).find(named).map(|of| i64::from(of.oid()))
    };
    let setting = move |name: Option<&str>| {
        let name = name?;
        settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| (*value).to_owned())
    };
    let quoted = |text: Option<&str>| text.map(quoted);
    let literal = |text: Option<&str>| text.map(literal);

    let schemas = ScalarValue::List(ScalarValue::new_list_nullable(
        &["pg_catalog", "public"].map(ScalarValue::from),
        &DataType::Utf8,
    ));
    let mut made: Vec<(&str, Answer)> = vec![
        ("version", text(&version)),
        ("current_database", text(DATABASE)),
        ("current_catalog", text(DATABASE)),
        ("current_schema", text("public")),
        ("current_schemas", Answer::Always(schemas)),
        ("current_user", text(OWNER)),
        ("current_role", text(OWNER)),
        ("session_user", text(OWNER)),
        ("current_query", no_text()),
        ("current_setting", Answer::OfText(0, Arc::new(setting))),
        // The value that the setting would have, and has not: a query changes nothing.
        ("set_config", Answer::OfText(1, Arc::new(|value| value.map(str::to_owned)))),
        ("quote_ident", Answer::OfText(0, Arc::new(quoted))),
        ("quote_literal", Answer::OfText(0, Arc::new(literal))),
        ("parse_ident", Answer::PartsOf(parts)),
        ("format", Answer::Format),
        ("format_type", Answer::OfNumber(Arc::new(type_name))),
        ("regclass_name", Answer::OfNumber(Arc::new(name_of))),
        (
            "to_regclass",
            Answer::NumberOf(Arc::new({
                let find = find.clone();
                move |name| find(name?)
            })),
        ),
        ("regclass_oid", Answer::NumberOf(Arc::new(move |name| name?.parse().ok().or_else(|| find(name?))))),
        ("to_regtype", Answer::NumberOf(Arc::new(type_oid))),
        (
            "regnamespace_oid",
            Answer::NumberOf(Arc::new(|name| match name?.trim_matches('"') {
                "public" => Some(super::tables::PUBLIC_OID),
                "pg_catalog" => Some(super::tables::PG_CATALOG_OID),
                _ => None,
            })),
        ),
        ("pg_encoding_to_char", text("UTF8")),
        ("pg_get_userbyid", text(OWNER)),
        ("pg_backend_pid", number(1)),
        ("pg_my_temp_schema", number(0)),
        ("pg_is_other_temp_schema", flag(false)),
        ("pg_is_in_recovery", flag(true)),
        ("pg_is_wal_replay_paused", flag(false)),
        ("pg_table_size", number(0)),
        ("pg_relation_size", number(0)),
        ("pg_total_relation_size", number(0)),
        ("pg_indexes_size", number(0)),
        ("pg_database_size", number(0)),
        ("pg_relation_is_publishable", flag(false)),
        ("txid_current", number(1)),
        ("inet_server_port", number(5432)),
        ("pg_tablespace_location", text("")),
    ];
    for nothing in [
        "pg_get_expr",
        "pg_get_indexdef",
        "pg_get_constraintdef",
        "pg_get_viewdef",
        "pg_get_ruledef",
        "pg_get_triggerdef",
        "pg_get_functiondef",
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
        "pg_get_function_result",
        "pg_get_partkeydef",
        "pg_get_partition_constraintdef",
        "pg_get_statisticsobjdef_columns",
        "pg_get_serial_sequence",
        "obj_description",
        "col_description",
        "shobj_description",
        "inet_server_addr",
        "inet_client_addr",
        "pg_size_pretty",
    ] {
        made.push((nothing, no_text()));
    }
    let mut named: Vec<(String, Answer)> = made.into_iter().map(|(name, answer)| (name.to_owned(), answer)).collect();
    for what in ["table", "type", "function", "operator", "opclass", "collation", "conversion", "ts_config"] {
        named.push((format!("pg_{what}_is_visible"), flag(true)));
    }
    for what in ["table", "column", "any_column", "schema", "database", "function", "sequence", "type", "language"] {
        // The privilege is the last that is asked about.
        let reads = |privilege: Option<&str>| {
            let reading = ["SELECT", "USAGE", "CONNECT", "EXECUTE"];
            privilege.is_some_and(|asked| asked.split(',').any(|one| reading.contains(&&*one.trim().to_uppercase())))
        };
        named.push((format!("has_{what}_privilege"), Answer::FlagOfLast(Arc::new(reads))));
    }
    named
        .into_iter()
        .map(|(name, answer)| {
            let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
            let signature = Signature::one_of(any, Volatility::Immutable);
            ScalarUDF::new_from_impl(CatalogFunction { name, signature, answer })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_function_of_each_name() {
        let made = functions(&[], &[]);
        let mut names: Vec<&str> = made.iter().map(ScalarUDF::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), made.len());
        assert!(names.contains(&"has_schema_privilege") && names.contains(&"pg_table_is_visible"));
    }

    #[test]
    fn names_are_quoted_where_they_need_it_and_taken_apart() {
        assert_eq!(
            [quoted("events"), quoted("Events"), quoted("a\"b"), quoted("1a")],
            ["events", "\"Events\"", "\"a\"\"b\"", "\"1a\""]
        );
        assert_eq!(parts("Public.\"My.Events\""), ["public", "My.Events"]);
        let values = [Some("public"), Some("My Events"), None, Some("it's")];
        assert_eq!(formatted("%I.%I %s%L 5%%", values.into_iter()), "public.\"My Events\" 'it''s' 5%");
    }
}
