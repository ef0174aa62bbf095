//! Who gets what by e-mail, of what is kept of a site. Pure.

use chrono::{DateTime, Utc};
use lake::SavedItem;
use serde_json::Value;

use super::calendar::Rhythm;
use crate::words::Language;

/// The field of a kept report that has the secret of its link to unsubscribe.
pub(crate) const SECRET: &str = "unsubscribe";

/// Somebody who gets reports of a site.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) site: String,
    pub(crate) recipient: String,
    pub(crate) rhythm: Rhythm,
    pub(crate) language: Language,
    pub(crate) filters: Vec<Value>,
    /// Since when.
    pub(crate) since: DateTime<Utc>,
    secret: String,
}

impl Subscription {
    /// `None` of one that a later release keeps in another form.
    pub(crate) fn of(item: &SavedItem) -> Option<Self> {
        let text = |name: &str| item.says.get(name).and_then(Value::as_str);
        Some(Self {
            id: item.id.clone(),
            site: item.site_id.clone(),
            recipient: text("recipient")?.to_owned(),
            rhythm: Rhythm::named(text("interval")?)?,
            language: Language::of_code(text("language")?)?,
            filters: item.says.get("filters").and_then(Value::as_array).cloned().unwrap_or_default(),
            since: item.created_at,
            secret: text(SECRET)?.to_owned(),
        })
    }

    /// Where whoever gets it ends it, on this server.
    pub(crate) fn unsubscribe_path(&self) -> String {
        let pairs = [("site", &self.site), ("report", &self.id), ("token", &self.secret)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("/unsubscribe?{query}")
    }

    /// Whether a token is that of the link to unsubscribe. Takes as long for a guess that is nearly right as for any other.
    pub(crate) fn has_secret(&self, token: &str) -> bool {
        // Compared in constant time, by `blake3`.
        blake3::hash(token.as_bytes()) == blake3::hash(self.secret.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_reads_back_and_what_is_not_understood_is_left_alone() {
        let kept = |says: Value| SavedItem {
            id: "1".into(),
            site_id: "shop & more".into(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            changed_at: DateTime::UNIX_EPOCH,
            created_by: None,
            says: says.as_object().unwrap().clone(),
        };
        let says = json!({ "recipient": "ada@example.com", "interval": "week", "language": "de", "filters": [], "unsubscribe": "dpu_1" });
        let found = Subscription::of(&kept(says.clone())).unwrap();
        assert_eq!(
            (found.rhythm, found.language, &*found.recipient),
            (Rhythm::Weekly, Language::German, "ada@example.com")
        );
        assert_eq!(found.unsubscribe_path(), "/unsubscribe?site=shop+%26+more&report=1&token=dpu_1");
        assert!(found.has_secret("dpu_1") && !found.has_secret("dpu_2") && !found.has_secret(""));
        for (field, value) in
            [("interval", json!("fortnight")), ("language", json!("tlh")), ("unsubscribe", json!(null))]
        {
            let mut other = says.clone();
            other[field] = value;
            assert_eq!(Subscription::of(&kept(other)), None, "{field}");
        }
    }
}
