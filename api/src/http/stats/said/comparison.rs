//! Numbers as JSON, and how they changed. Pure.

use serde_json::{Map, Value, json};

use super::metric::Metric;

/// Numbers by the names of their metrics.
///
/// - `values`: in the order of `metrics`.
pub(in crate::http::stats) fn by_name(metrics: &[Metric], values: &[Value]) -> Value {
    Value::Object(metrics.iter().zip(values).map(|(metric, value)| (metric.name().to_owned(), value.clone())).collect())
}

/// What the metrics are where nothing happened.
pub(in crate::http::stats) fn nothing(metrics: &[Metric]) -> Vec<Value> {
    metrics.iter().map(|metric| if metric.is_share() { Value::Null } else { 0.into() }).collect()
}

/// Other numbers, and how these differ from them.
pub(in crate::http::stats) fn compare(metrics: &[Metric], values: &[Value], others: &[Value]) -> Map<String, Value> {
    let changes: Vec<Value> = values.iter().zip(others).map(|(value, other)| change(value, other)).collect();
    let mut comparison = Map::new();
    comparison.insert("metrics".into(), by_name(metrics, others));
    comparison.insert("change".into(), by_name(metrics, &changes));
    comparison
}

/// The difference as a share of the other number; null if that is none.
pub(in crate::http::stats) fn change(value: &Value, other: &Value) -> Value {
    match (number(value), number(other)) {
        (Some(value), Some(other)) if other != 0.0 => json!((value - other) / other.abs()),
        _ => Value::Null,
    }
}

/// A number, which is its digits in text if a double does not hold it.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_share_of_what_was() {
        for (value, other, expected) in [
            (json!(3), json!(2), json!(0.5)),
            (json!(0), json!(4), json!(-1.0)),
            (json!(0), json!(0), Value::Null),
            (json!(7), json!(0), Value::Null),
            (json!(0.5), Value::Null, Value::Null),
            (json!(-5), json!(-10), json!(0.5)),
            (json!("30000000000000000"), json!("20000000000000000"), json!(0.5)),
        ] {
            assert_eq!(change(&value, &other), expected, "{value} {other}");
        }
    }
}
