//! The OpenAPI document beside what the server does: every answer of these tests is held against its schema.

use serde_json::{Value as Json, json};

use super::{TOKEN, shop};

/// Fails if an answer is not what the document says of its endpoint. Knows as much of JSON Schema as the document uses.
#[track_caller]
pub fn check(document: &Json, path: &str, method: &str, status: u16, answer: &Json) {
    let path = if path.starts_with("sessions/") { "sessions/{id}" } else { path };
    let Some(operations) = document["paths"].get(format!("/v1/stats/{path}")) else {
        assert_eq!(status, 404, "{path} is not in the document");
        return;
    };
    let response = &operations[method]["responses"][status.to_string()];
    assert!(response.is_object(), "{method} {path} answers {status}, of which the document says nothing: {answer}");
    if let Some(schema) = response["content"]["application/json"].get("schema")
        && let Err(wrong) = valid(document, schema, answer)
    {
        panic!("{method} {path} {status}: {wrong}\n{answer}");
    }
}

pub fn valid(document: &Json, schema: &Json, value: &Json) -> Result<(), String> {
    let known = [
        "$ref",
        "anyOf",
        "type",
        "enum",
        "properties",
        "additionalProperties",
        "required",
        "items",
        "minimum",
        "maximum",
        "format",
        "description",
    ];
    for keyword in schema.as_object().ok_or("a schema is an object")?.keys() {
        assert!(known.contains(&keyword.as_str()), "{keyword} is not checked here");
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        let schema = document["components"]["schemas"].get(name).ok_or_else(|| format!("there is no schema {name}"))?;
        return valid(document, schema, value).map_err(|wrong| format!("{name}: {wrong}"));
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let wrong: Vec<String> = any.iter().filter_map(|schema| valid(document, schema, value).err()).collect();
        return if wrong.len() < any.len() { Ok(()) } else { Err(wrong.join(", or ")) };
    }
    let types = match &schema["type"] {
        Json::Array(types) => types.clone(),
        Json::Null => vec![],
        one => vec![one.clone()],
    };
    let is = |name: &Json| match name.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        return Err(format!("{value} is none of {types:?}"));
    }
    if let Some(least) = schema["minimum"].as_f64()
        && value.as_f64().is_some_and(|value| value < least)
    {
        return Err(format!("{value} is less than {least}"));
    }
    if let Some(most) = schema["maximum"].as_f64()
        && value.as_f64().is_some_and(|value| value > most)
    {
        return Err(format!("{value} is more than {most}"));
    }
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        chrono::DateTime::parse_from_rfc3339(text).map_err(|error| format!("{text}: {error}"))?;
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        values.iter().try_for_each(|value| valid(document, items, value))?;
    }
    let Some(fields) = value.as_object() else { return Ok(()) };
    for required in schema["required"].as_array().into_iter().flatten() {
        fields.get(required.as_str().unwrap()).ok_or_else(|| format!("{required} is missing"))?;
    }
    for (name, field) in fields {
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => valid(document, schema, field).map_err(|wrong| format!("{name}: {wrong}"))?,
            (None, Json::Bool(false)) => return Err(format!("nothing is said of {name}")),
            (None, Json::Object(_)) => valid(document, &schema["additionalProperties"], field)?,
            (None, _) => {}
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_document_names_every_parameter_and_nothing_else() {
    let server = shop().await;
    let document = server.document().await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/v1/stats/").unwrap().replace("{id}", "1.2");
        for parameter in operations["get"]["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "query") {
            // A value that no parameter takes is refused, but not the name.
            let name = parameter["name"].as_str().unwrap();
            let (_, _, answer) = server.get_as(TOKEN, &path, &[(name, "\u{1}")]).await;
            assert!(!answer["message"].to_string().contains("there is no parameter"), "{path} {name}: {answer}");
        }
        let (status, _, answer) = server.get_as(TOKEN, &path, &[("nothing", "x")]).await;
        assert_eq!((status, answer["message"].to_string().contains("there is no parameter")), (400, true), "{path}");
    }
    let example = json!({ "message": 7 });
    assert!(valid(&document, &json!({ "$ref": "#/components/schemas/Refusal" }), &example).is_err());
}

#[tokio::test]
async fn the_reference_names_all_that_the_document_names() {
    let reference = include_str!("../../../../docs/STATS_API.md");
    let document = shop().await.document().await;
    let schemas = &document["components"]["schemas"];
    let lists = [&schemas["Metric"]["enum"], &schemas["Operator"]["enum"], &schemas["Dimension"]["examples"]];
    let names =
        lists.into_iter().flat_map(|list| list.as_array().unwrap()).map(|name| name.as_str().unwrap().to_owned());
    let operations = document["paths"].as_object().unwrap().iter();
    let parameters = operations.clone().flat_map(|(_, operations)| operations["get"]["parameters"].as_array().unwrap());
    let parameters = parameters.filter(|one| one["in"] == "query").map(|one| one["name"].as_str().unwrap().to_owned());
    let paths = operations.map(|(path, _)| path.trim_start_matches("/v1/stats/").to_owned());
    let missing: Vec<String> =
        names.chain(parameters).chain(paths).filter(|name| !reference.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[tokio::test]
async fn the_document_needs_no_key() {
    let server = shop().await;
    let request = axum::http::Request::get("/v1/stats/openapi.json");
    let (status, _, document) = server.send(request, axum::body::Body::empty()).await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
}
