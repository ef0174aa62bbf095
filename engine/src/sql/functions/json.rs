//! JSON made of values, and what JSON contains.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray, StringBuilder, StructArray,
};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{
    ColumnarValue, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value as Json;

use super::columns::of_columns;
use crate::answer::binary_text;

pub(super) fn all() -> Vec<ScalarUDF> {
    [Kind::Value, Kind::Object, Kind::List, Kind::ObjectOf, Kind::Marked, Kind::Texts, Kind::Contains, Kind::HasKey]
        .map(udf)
        .into()
}

fn udf(kind: Kind) -> ScalarUDF {
    let signature = match kind {
        Kind::Object | Kind::List => Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::VariadicAny,
                datafusion::logical_expr::TypeSignature::Nullary,
            ],
            Volatility::Immutable,
        ),
        Kind::ObjectOf => Signature::any(2, Volatility::Immutable),
        Kind::Contains | Kind::HasKey | Kind::Marked | Kind::Texts => Signature::user_defined(Volatility::Immutable),
        Kind::Value => Signature::any(1, Volatility::Immutable),
    };
    ScalarUDF::from(JsonFunction { kind, signature })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `to_json(x)`: null of null.
    Value,
    /// `json_build_object(key, value, …)`.
    Object,
    /// `json_build_array(value, …)`.
    List,
    /// `json_object_of(keys, values)`: an object of two lists.
    ObjectOf,
    /// `json_text(x)`: JSON that becomes part of other JSON as it is.
    Marked,
    /// `json_texts(list)`: a list of JSON as plain texts.
    Texts,
    /// `a @> b`.
    Contains,
    /// `json ? key`.
    HasKey,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    kind: Kind,
    signature: Signature,
}

/// The one field of a structure that stands for JSON as it is.
const MARK: &str = "$json";

fn marked_fields() -> Fields {
    Fields::from(vec![Field::new(MARK, DataType::Utf8, true)])
}

fn texts_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8, true))
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Value => "to_json",
            Kind::Object => "json_build_object",
            Kind::List => "json_build_array",
            Kind::ObjectOf => "json_object_of",
            Kind::Marked => "json_text",
            Kind::Texts => "json_texts",
            Kind::Contains => "json_includes",
            Kind::HasKey => "json_has_key",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_text =
            |of: &DataType| matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
        match (self.kind, types) {
            (Kind::Contains, [left, right]) if is_text(left) && is_text(right) => Ok(vec![DataType::Utf8; 2]),
            (Kind::Contains, _) => plan_err!("@> takes JSON and JSON: properties @> '{{\"plan\":\"pro\"}}'"),
            (Kind::HasKey, [json, key]) if is_text(json) && is_text(key) => Ok(vec![DataType::Utf8; 2]),
            (Kind::HasKey, _) => plan_err!("? takes JSON and a key: properties ? 'plan'"),
            (Kind::Texts, [DataType::List(_) | DataType::Null]) => Ok(vec![DataType::List(texts_field())]),
            (Kind::Marked, [text]) if is_text(text) => Ok(vec![DataType::Utf8]),
            // What is marked already, or is no text, stays as it is in JSON.
            _ => plan_err!("{} takes JSON as text", self.name()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Value | Kind::Object | Kind::List | Kind::ObjectOf => DataType::Utf8,
            Kind::Marked => DataType::Struct(marked_fields()),
            Kind::Texts => DataType::List(texts_field()),
            Kind::Contains | Kind::HasKey => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        of_columns(&args, |columns, rows| match self.kind {
            Kind::Value => texts_of(rows, |row, out| match columns[0].is_null(row) {
                true => Ok(false),
                false => write_value(&columns[0], row, out).map(|()| true),
            }),
            Kind::Object => {
                if columns.len() % 2 == 1 {
                    return exec_err!("json_build_object takes keys and values: json_build_object('a', 1, 'b', 2)");
                }
                texts_of(rows, |row, out| {
                    let pairs = columns.chunks(2).map(|pair| (&pair[0], row, &pair[1], row));
                    write_object(pairs, out).map(|()| true)
                })
            }
            Kind::List => {
                texts_of(rows, |row, out| write_list(columns.iter().map(|column| (column, row)), out).map(|()| true))
            }
            Kind::ObjectOf => objects_of(&columns[0], &columns[1], rows),
            Kind::Marked => {
                let nulls = columns[0].nulls().cloned();
                Ok(Arc::new(StructArray::try_new(marked_fields(), vec![columns[0].clone()], nulls)?))
            }
            Kind::Texts => plain_texts(&columns[0]),
            Kind::Contains => contained(&columns[0], &columns[1]),
            Kind::HasKey => {
                let (json, keys) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
                let has = json.iter().zip(keys).map(|(json, key)| {
                    let json: Json = serde_json::from_str(json?).ok()?;
                    key.map(|key| has_key(&json, key))
                });
                Ok(Arc::new(has.collect::<BooleanArray>()))
            }
        })
    }
}

/// A text for each row, or null where `write` says no.
fn texts_of(rows: usize, mut write: impl FnMut(usize, &mut String) -> Result<bool>) -> Result<ArrayRef> {
    let mut texts = StringBuilder::new();
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        match write(row, &mut text)? {
            true => texts.append_value(&text),
            false => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// Numbers with all their digits, times in RFC 3339, bytes as their text, anything else as Arrow prints it.
fn write_value(column: &ArrayRef, row: usize, out: &mut String) -> Result<()> {
    macro_rules! number {
        ($type:ty) => {
            out.push_str(&column.as_primitive::<$type>().value(row).to_string())
        };
    }
    if column.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match column.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => write_float(f64::from(column.as_primitive::<Float32Type>().value(row)), out),
        DataType::Float64 => write_float(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(..) => out.push_str(&column.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Utf8 => write_text(column.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => write_text(column.as_string::<i64>().value(row), out),
        DataType::Utf8View => write_text(column.as_string_view().value(row), out),
        DataType::List(_) => {
            let members = column.as_list::<i32>().value(row);
            write_list((0..members.len()).map(|place| (&members, place)), out)?;
        }
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            match &fields[..] {
                [mark] if mark.name() == MARK => out.push_str(parts.column(0).as_string::<i32>().value(row)),
                fields => {
                    let separate = |place: usize| if place == 0 { '{' } else { ',' };
                    for (place, field) in fields.iter().enumerate() {
                        out.push(separate(place));
                        write_text(field.name(), out);
                        out.push(':');
                        write_value(parts.column(place), row, out)?;
                    }
                    out.push_str(if fields.is_empty() { "{}" } else { "}" });
                }
            }
        }
        _ => {
            let text = binary_text::text_of(&column.slice(row, 1));
            let value = text.unwrap_or_else(|| column.slice(row, 1));
            let options = FormatOptions::default();
            let formatted = ArrayFormatter::try_new(&value, &options)?.value(0).try_to_string()?;
            write_text(&formatted, out);
        }
    }
    Ok(())
}

fn write_float(number: f64, out: &mut String) {
    match number.is_finite() {
        true => out.push_str(&number.to_string()),
        false => out.push_str("null"),
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&Json::from(text).to_string());
}

fn write_list<'a>(members: impl Iterator<Item = (&'a ArrayRef, usize)>, out: &mut String) -> Result<()> {
    out.push('[');
    for (place, (column, row)) in members.enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_value(column, row, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_object<'a>(
    pairs: impl Iterator<Item = (&'a ArrayRef, usize, &'a ArrayRef, usize)>,
    out: &mut String,
) -> Result<()> {
    out.push('{');
    for (place, (key, key_row, value, value_row)) in pairs.enumerate() {
        if place > 0 {
            out.push(',');
        }
        if key.is_null(key_row) {
            return exec_err!("a key of a JSON object is null: write coalesce(key, '')");
        }
        let mut written = String::new();
        write_value(key, key_row, &mut written)?;
        match written.starts_with('"') {
            true => out.push_str(&written),
            false => write_text(&written, out),
        }
        out.push(':');
        write_value(value, value_row, out)?;
    }
    out.push('}');
    Ok(())
}

fn objects_of(keys: &ArrayRef, values: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let (Some(keys), Some(values)) = (keys.as_list_opt::<i32>(), values.as_list_opt::<i32>()) else {
        return exec_err!("json_object_of takes a list of keys and one of values");
    };
    texts_of(rows, |row, out| {
        if keys.is_null(row) {
            return Ok(false);
        }
        let (keys, values) = (keys.value(row), values.value(row));
        write_object((0..keys.len()).map(|place| (&keys, place, &values, place)), out).map(|()| true)
    })
}

/// The members of lists of JSON as plain texts: a text without its quotes, null for null, anything else as it is.
fn plain_texts(lists: &ArrayRef) -> Result<ArrayRef> {
    let lists = lists.as_list::<i32>();
    let members = lists.values().as_string::<i32>();
    let plain: StringArray = members
        .iter()
        .map(|member| match serde_json::from_str(member?) {
            Ok(Json::String(text)) => Some(text),
            Ok(Json::Null) => None,
            _ => member.map(str::to_owned),
        })
        .collect();
    Ok(Arc::new(ListArray::try_new(texts_field(), lists.offsets().clone(), Arc::new(plain), lists.nulls().cloned())?))
}

fn contained(left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let (left, right) = (left.as_string::<i32>(), right.as_string::<i32>());
    let mut known: Option<(&str, Json)> = None;
    let mut answers = Vec::with_capacity(left.len());
    for (whole, part) in left.iter().zip(right) {
        let (Some(whole), Some(part)) = (whole, part) else {
            answers.push(None);
            continue;
        };
        if known.as_ref().is_none_or(|(text, _)| *text != part) {
            let Ok(json) = serde_json::from_str(part) else {
                return exec_err!("@> takes JSON, and {part:?} is none: properties @> '{{\"plan\":\"pro\"}}'");
            };
            known = Some((part, json));
        }
        let whole: Option<Json> = serde_json::from_str(whole).ok();
        answers.push(whole.zip(known.as_ref()).map(|(whole, (_, part))| contains(&whole, part, true)));
    }
    Ok(Arc::new(BooleanArray::from(answers)))
}

/// Whether `part` is in `whole`, as `@>` of PostgreSQL: keys of objects with what they hold, members of lists in any order
/// and any number. At the top a list also contains a single value.
fn contains(whole: &Json, part: &Json, is_top: bool) -> bool {
    match (whole, part) {
        (Json::Object(whole), Json::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| contains(whole, value, false)))
        }
        (Json::Array(whole), Json::Array(part)) => {
            part.iter().all(|value| whole.iter().any(|member| contains(member, value, false)))
        }
        (Json::Array(whole), part) if is_top && !part.is_object() => whole.iter().any(|member| equal(member, part)),
        (whole, part) => equal(whole, part),
    }
}

/// Whether a text is a key of an object, or a member of a list.
fn has_key(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(object) => object.contains_key(key),
        Json::Array(list) => list.iter().any(|member| member.as_str() == Some(key)),
        json => json.as_str() == Some(key),
    }
}

/// 1 and 1.0 are the same number.
fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(a), Json::Number(b)) if a != b => (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        (one, other) => one == other,
    }
}

/// Plans `@>` and `<@` of texts, which are JSON; of lists it is DataFusion's.
#[derive(Debug)]
pub(super) struct Containment;

impl ExprPlanner for Containment {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_list = |expr: &datafusion::logical_expr::Expr| {
            matches!(
                expr.get_type(schema),
                Ok(DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
            )
        };
        if is_list(&raw.left) || is_list(&raw.right) {
            return Ok(PlannerResult::Original(raw));
        }
        Ok(match raw.op {
            BinaryOperator::AtArrow => PlannerResult::Planned(udf(Kind::Contains).call(vec![raw.left, raw.right])),
            BinaryOperator::ArrowAt => PlannerResult::Planned(udf(Kind::Contains).call(vec![raw.right, raw.left])),
            _ => PlannerResult::Original(raw),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_contains_what_it_contains_in_postgresql() {
        for (whole, part, expected) in [
            (r#"{"a":1,"b":[1,2]}"#, r#"{"b":[2]}"#, true),
            (r#"{"a":1}"#, r#"{"a":1.0}"#, true),
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":2}}"#, true),
            (r#"{"a":{"b":1}}"#, r#"{"b":1}"#, false),
            ("[1,2,2]", "[2,2,2]", true),
            ("[1,[2]]", "[2]", false),
            (r#"["a"]"#, r#""a""#, true),
            (r#"{"a":["x"]}"#, r#"{"a":"x"}"#, false),
            (r#"{"a":null}"#, "{}", true),
        ] {
            let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
            assert_eq!(contains(&json(whole), &json(part), true), expected, "{whole} @> {part}");
        }
    }
}
