//! Calls that read JSON and make it.

use datafusion::logical_expr::sqlparser::ast::{BinaryOperator, DataType, Expr};

use super::call::Call;
use super::template::{fill, fill_call};
use crate::error::Result;
use crate::sql::syntax::{call, text_expr, text_of};

/// The column that holds JSON.
pub(super) const JSON_COLUMN: &str = "properties";

/// Functions whose texts are JSON.
const JSON_MAKERS: [&str; 5] = ["json_build_array", "json_build_object", "json_get_json", "json_object_of", "to_json"];

/// Calls that read a place: names, and the function that reads it here.
const READERS: &[(&[&str], &str)] = &[
    (
        &[
            "json_value",
            "json_extract_scalar",
            "json_extract_string",
            "json_extract_path_text",
            "jsonb_extract_path_text",
            "get_json_object",
            "jsonextractstring",
            "visitparamextractstring",
            "simplejsonextractstring",
        ],
        "json_as_text",
    ),
    (&["json_extract", "json_query", "json_extract_path", "jsonb_extract_path", "jsonextractraw"], "json_get_json"),
    (&["jsonextractint", "jsonextractuint", "visitparamextractint", "visitparamextractuint"], "json_get_int"),
    (&["jsonextractfloat", "visitparamextractfloat"], "json_get_float"),
    (&["jsonextractbool", "visitparamextractbool"], "json_get_bool"),
    (&["jsonhas", "json_exists", "visitparamhas"], "json_contains"),
    (&["jsonlength", "json_array_length", "jsonb_array_length"], "json_length"),
    (&["json_extract_array", "json_query_array", "jsonextractarrayraw"], "json_get_array"),
    (&["json_object_keys", "jsonb_object_keys", "json_keys", "jsonextractkeys"], "json_object_keys"),
];

/// The call as it is written here; `None` if it is none of these.
pub(super) fn respell(written: &Call<'_>) -> Result<Option<Expr>> {
    if !written.parameters.is_empty() {
        return Ok(None);
    }
    let (name, args) = (written.name.as_str(), written.args.as_slice());
    if let Some((_, reader)) = READERS.iter().find(|(names, _)| names.contains(&name)) {
        return read(reader, written);
    }
    match name {
        "parse_json" | "to_variant" => match args {
            [json] => Ok(Some(fill("CAST($1 AS JSON)", &[json]))),
            _ => Ok(None),
        },
        "json_value_array" | "json_extract_string_array" => match args {
            [_, ..] => {
                let list = read_at("json_get_array", written)?;
                Ok(Some(fill("json_texts($1)", &[&list])))
            }
            [] => Ok(None),
        },
        "jsonb_array_elements" | "json_array_elements" => match args {
            [list] => Ok(Some(fill("unnest(json_get_array($1))", &[list]))),
            _ => Ok(None),
        },
        "jsonb_array_elements_text" | "json_array_elements_text" => match args {
            [list] => Ok(Some(fill("unnest(json_texts(json_get_array($1)))", &[list]))),
            _ => Ok(None),
        },
        "to_jsonb" | "to_json_string" | "tojsonstring" => made("to_json", written),
        "to_json" | "json_build_object" | "json_build_array" if args.iter().any(|arg| is_json(arg)) => {
            made(name, written)
        }
        "jsonb_build_object" | "json_object" | "object_construct" => made("json_build_object", written),
        "jsonb_build_array" | "json_array" | "array_construct" => made("json_build_array", written),
        "json_agg" | "jsonb_agg" | "json_group_array" | "json_arrayagg" => match args {
            [value] => {
                let list = fill_call("array_agg($1)", &[&marked(value)], written)?;
                Ok(Some(fill("to_json($1)", &[&list])))
            }
            _ => Err(written.refuse("it takes one value: json_agg(json_build_object('name', name, 'path', path))")),
        },
        "json_object_agg" | "jsonb_object_agg" | "json_group_object" | "object_agg" => match args {
            [key, value] => {
                let value = marked(value);
                let form = "json_object_of(array_agg(CAST($1 AS VARCHAR)), array_agg($2))";
                fill_call(form, &[key, &value], written).map(Some)
            }
            _ => Err(written.refuse("it takes a key and a value")),
        },
        _ => Ok(None),
    }
}

/// A reader with its path as steps.
fn read(reader: &str, written: &Call<'_>) -> Result<Option<Expr>> {
    // It is as it is written here.
    if written.name == reader && !written.args.iter().skip(1).any(|step| is_path(step)) {
        return Ok(None);
    }
    if written.args.is_empty() {
        return Ok(None);
    }
    if written.is_of_many_rows() {
        return Err(written.refuse("it reads one JSON, so its clauses belong to the aggregate around it"));
    }
    read_at(reader, written).map(Some)
}

fn read_at(reader: &str, written: &Call<'_>) -> Result<Expr> {
    let mut args: Vec<Expr> = Vec::new();
    for (place, arg) in written.args.iter().enumerate() {
        if place == 0 || !is_path(arg) {
            args.push((*arg).clone());
            continue;
        }
        match text_of(arg).and_then(steps) {
            Some(steps) => args.extend(steps),
            None => {
                return Err(
                    written.refuse("a path is written '$.cart.items[0]'; for other keys write properties->'a b'->>'c'")
                );
            }
        }
    }
    Ok(call(reader, args))
}

fn is_path(expr: &Expr) -> bool {
    text_of(expr).is_some_and(|text| text == "$" || text.starts_with("$.") || text.starts_with("$["))
}

/// The steps of `$.cart.items[0]."a b"`; `None` if it has others.
fn steps(path: &str) -> Option<Vec<Expr>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let (key, left) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(['.', '[']).unwrap_or(after.len())),
            };
            if key.is_empty() || key == "*" {
                return None;
            }
            steps.push(text_expr(key.to_owned()));
            rest = left;
        } else {
            let (inner, left) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inner.trim_matches(['\'', '"']);
            steps.push(match inner.parse::<u32>() {
                Ok(place) => fill(&place.to_string(), &[]),
                Err(_) if quoted.len() + 2 == inner.len() => text_expr(quoted.to_owned()),
                Err(_) => return None,
            });
            rest = left;
        }
    }
    Some(steps)
}

/// A call that makes JSON, with its arguments marked where they are JSON already.
fn made(name: &str, written: &Call<'_>) -> Result<Option<Expr>> {
    if written.is_of_many_rows() {
        return Err(written.refuse("it makes one value of one row, so its clauses belong to the aggregate around it"));
    }
    Ok(Some(call(name, written.args.iter().map(|arg| marked(arg)).collect())))
}

/// What is JSON by the way it is written becomes part of other JSON as it is, and not as a text.
fn marked(expr: &Expr) -> Expr {
    match is_json(expr) {
        true => fill("json_text($1)", &[expr]),
        false => expr.clone(),
    }
}

fn is_json(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_json(inner),
        Expr::Identifier(column) => column.value.eq_ignore_ascii_case(JSON_COLUMN),
        Expr::CompoundIdentifier(parts) => {
            parts.last().is_some_and(|column| column.value.eq_ignore_ascii_case(JSON_COLUMN))
        }
        Expr::BinaryOp { op, .. } => matches!(op, BinaryOperator::Arrow | BinaryOperator::HashArrow),
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::JSON | DataType::JSONB),
        Expr::Function(function) => JSON_MAKERS.contains(&function.name.to_string().to_lowercase().as_str()),
        _ => false,
    }
}

/// `properties.plan`, as in HogQL: the text of a property, if the column stands where a table might.
pub(super) fn property(parts: &[datafusion::logical_expr::sqlparser::ast::Ident]) -> Option<Expr> {
    let place = parts.iter().position(|part| part.value == JSON_COLUMN && part.quote_style.is_none())?;
    let steps = &parts[place + 1..];
    if place > 1 || steps.is_empty() {
        return None;
    }
    let column = match place {
        0 => Expr::Identifier(parts[0].clone()),
        _ => Expr::CompoundIdentifier(parts[..=place].to_vec()),
    };
    let steps = steps.iter().map(|step| text_expr(step.value.clone()));
    Some(call("json_as_text", std::iter::once(column).chain(steps).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_steps() {
        let steps = |path| steps(path).map(|steps| steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(steps("$.a").as_deref(), Some("'a'"));
        assert_eq!(steps("$.cart.items[0].\"a b\"").as_deref(), Some("'cart' 'items' (0) 'a b'"));
        assert_eq!(steps("$['a']").as_deref(), Some("'a'"));
        assert_eq!(steps("$").as_deref(), Some(""));
        for none in ["a", "$..a", "$.a[*]", "$.*", "$.a[x]"] {
            assert_eq!(steps(none), None, "{none}");
        }
    }
}
