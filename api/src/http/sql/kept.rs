//! Answers that are kept for the next who asks the same of the same events.

use axum::body::Bytes;
use engine::Param;
use lake::Fingerprint;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::asked::Asked;
use super::format::Format;
use crate::http::caller::reader::Part;

/// What an answer depends on, in one number: the query, its parameters, whose events it is asked of, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AnswerKey([u8; 32]);

impl AnswerKey {
    /// - `params`: those that the query may name.
    pub(super) fn new(
        asked: &Asked,
        params: &[(String, Param)],
        part: &Part,
        format: Format,
        events: Fingerprint,
    ) -> Self {
        let mut parts = vec![asked.sql.clone(), format!("{part:?}"), format!("{format:?}"), events.to_string()];
        let mut named: Vec<_> = params.iter().filter(|(name, _)| asked.names(name)).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        parts.extend(named.into_iter().map(|(name, value)| format!("{name}={value:?}")));
        Self::of(&parts)
    }

    /// The same of anything else that is answered from events.
    pub(crate) fn of<T: AsRef<str>>(parts: &[T]) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Every part has its length before it, so that no two lists of parts are the same bytes.
        for part in parts.iter().map(AsRef::as_ref) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(hasher.finalize().into())
    }

    /// The entity tag. Weak, because rows without an order may come in another one.
    pub(crate) fn etag(&self) -> String {
        format!("W/\"{}\"", &blake3::Hash::from_bytes(self.0).to_hex()[..32])
    }
}

/// Whole answers, up to a number of bytes.
pub(crate) struct KeptAnswers(Cache<AnswerKey, Bytes, ByBytes>);

#[derive(Clone)]
struct ByBytes;

/// What an entry takes beside its answer.
const ENTRY_BYTES: u64 = 128;

impl Weighter<AnswerKey, Bytes> for ByBytes {
    fn weight(&self, _: &AnswerKey, answer: &Bytes) -> u64 {
        answer.len() as u64 + ENTRY_BYTES
    }
}

impl KeptAnswers {
    pub(super) fn new(bytes_max: u64) -> Self {
        let answers = usize::try_from(bytes_max / 4_096).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        Self(Cache::with_weighter(answers, bytes_max, ByBytes))
    }

    pub(crate) fn get(&self, key: &AnswerKey) -> Option<Bytes> {
        self.0.get(key)
    }

    pub(crate) fn keep(&self, key: AnswerKey, answer: Bytes) {
        self.0.insert(key, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sql: &str, params: &[(&str, Param)], part: &Part, format: Format) -> AnswerKey {
        let asked = Asked { sql: sql.into(), params: vec![], site: None };
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let events = lake::Lake::open("memory:///", []).unwrap();
        let events = tokio::runtime::Runtime::new().unwrap().block_on(events.snapshot()).unwrap().fingerprint();
        AnswerKey::new(&asked, &params, part, format, events)
    }

    #[test]
    fn an_answer_is_found_again_by_all_that_it_depends_on_and_nothing_else() {
        let (all, shop) = (Part::Lake(None), Part::Sites(["shop".into()].into()));
        let one = key("SELECT $a", &[("a", Param::Integer(1))], &all, Format::Csv);
        let (other_value, other) = (Param::Integer(2), Param::Integer(9));
        assert_eq!(one, key("SELECT $a", &[("unused", other), ("a", Param::Integer(1))], &all, Format::Csv));
        for another in [
            key("SELECT $a", &[("a", other_value)], &all, Format::Csv),
            key("SELECT $a", &[("a", Param::Text(Some("1".into())))], &all, Format::Csv),
            key("SELECT $a ", &[("a", Param::Integer(1))], &all, Format::Csv),
            key("SELECT $a", &[("a", Param::Integer(1))], &shop, Format::Csv),
            key("SELECT $a", &[("a", Param::Integer(1))], &Part::Lake(Some("shop".into())), Format::Csv),
            key("SELECT $a", &[("a", Param::Integer(1))], &all, Format::Json),
        ] {
            assert_ne!(one, another);
        }
    }

    #[test]
    fn what_is_kept_stays_within_its_bytes() {
        let kept = KeptAnswers::new(1 << 20);
        for n in 0..100_u8 {
            kept.keep(AnswerKey([n; 32]), vec![n; 100_000].into());
        }
        let found = (0..100).filter(|n| kept.get(&AnswerKey([*n; 32])).is_some()).count();
        assert!((1..=10).contains(&found), "{found}");
    }
}
