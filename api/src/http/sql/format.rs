//! The formats of an answer, and which one a request asks for. Pure.

use engine::AnswerFormat;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// One JSON object with columns, types and rows.
    Json,
    /// A JSON object for each row, each on a line of its own.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// A stream of Arrow's.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// The formats, their names, and their media types, of which the first is what an answer carries.
const FORMATS: [(Format, &str, &[&str]); 5] = [
    (Format::Json, "json", &["application/json"]),
    (Format::Ndjson, "ndjson", &["application/x-ndjson", "application/ndjson", "application/jsonl"]),
    (Format::Csv, "csv", &["text/csv"]),
    (Format::Arrow, "arrow", &["application/vnd.apache.arrow.stream"]),
    (Format::Parquet, "parquet", &["application/vnd.apache.parquet", "application/x-parquet"]),
];

impl Format {
    /// The format of this name. Fails in words.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = FORMATS.iter().find(|(_, known, _)| *known == name.to_ascii_lowercase());
        found.map(|(format, ..)| *format).ok_or_else(|| {
            format!("there is no format {name:?}: there is {}", FORMATS.map(|(_, name, _)| name).join(", "))
        })
    }

    /// The format that a header `Accept` prefers; JSON if it does not say. Fails in words if it takes none of them.
    pub(super) fn accepted(accept: &str) -> Result<Self, String> {
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        let mut best: Option<(f32, Self)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            let matches = |(_, _, types): &&(Self, &str, &[&str])| match media_type.strip_suffix("/*") {
                Some("*") => true,
                Some(kind) => types[0].split('/').next() == Some(kind),
                None => types.contains(&media_type.as_str()),
            };
            let Some((format, ..)) = FORMATS.iter().find(matches) else { continue };
            if weight > 0.0 && best.is_none_or(|(best, _)| weight > best) {
                best = Some((weight, *format));
            }
        }
        best.map(|(_, format)| format).ok_or_else(|| {
            let types = FORMATS.map(|(_, _, types)| types[0]);
            format!("an answer can be {}; {accept:?} accepts none of them", types.join(", "))
        })
    }

    /// The media type that an answer carries.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The engine's own form, for those it writes itself.
    pub(super) fn of_engine(self) -> Option<AnswerFormat> {
        match self {
            Self::Json => None,
            Self::Ndjson => Some(AnswerFormat::Ndjson),
            Self::Csv => Some(AnswerFormat::Csv),
            Self::Arrow => Some(AnswerFormat::Arrow),
            Self::Parquet => Some(AnswerFormat::Parquet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_of_the_accepted_formats_is_taken() {
        for (accept, expected) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("text/*", Some(Format::Csv)),
            ("application/*", Some(Format::Json)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Format::Json)),
            ("application/json;q=0.5, text/csv", Some(Format::Csv)),
            ("Application/JSONL", Some(Format::Ndjson)),
            ("application/vnd.apache.arrow.stream, application/json", Some(Format::Arrow)),
            ("application/x-parquet;q=0, text/csv;q=0.1", Some(Format::Csv)),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(Format::accepted(accept).ok(), expected, "{accept}");
        }
        assert_eq!(Format::named("CSV"), Ok(Format::Csv));
        assert_eq!(
            Format::named("xlsx").unwrap_err(),
            "there is no format \"xlsx\": there is json, ndjson, csv, arrow, parquet"
        );
    }
}
