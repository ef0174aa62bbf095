//! What a share says, of those that are kept with a site. Pure.

use chrono::{DateTime, Utc};
use lake::SavedItem;
use serde_json::Value;

/// Whether a share has a token of this hash. Takes as long for a guess that is nearly right as for any other.
pub(in crate::http) fn has_token(share: &SavedItem, hash: &str) -> bool {
    let kept = share.says.get("token_hash").and_then(Value::as_str).and_then(|kept| blake3::Hash::from_hex(kept).ok());
    // Compared in constant time, by `blake3`.
    kept.zip(blake3::Hash::from_hex(hash).ok()).is_some_and(|(kept, sent)| kept == sent)
}

/// The hash of its password, if it has one.
pub(in crate::http) fn password(share: &SavedItem) -> Option<&str> {
    share.says.get("password_hash").and_then(Value::as_str)
}

/// Whether it has a password.
pub(in crate::http) fn has_password(share: &SavedItem) -> bool {
    password(share).is_some()
}

/// When it ends, if it does.
pub(in crate::http) fn expires_at(share: &SavedItem) -> Option<DateTime<Utc>> {
    share.says.get("expires_at").and_then(Value::as_str).and_then(|time| time.parse().ok())
}

/// Whether it has not ended.
pub(in crate::http) fn is_open(share: &SavedItem, now: DateTime<Utc>) -> bool {
    expires_at(share).is_none_or(|end| now < end)
}

/// The filters that hold for whoever has the link.
pub(in crate::http) fn filters(share: &SavedItem) -> Vec<Value> {
    share.says.get("filters").and_then(Value::as_array).cloned().unwrap_or_default()
}
