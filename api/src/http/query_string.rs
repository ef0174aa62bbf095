//! The query string of a request. A parameter that the endpoint does not have is refused: whoever asks for `?Site=shop`
//! must not get the numbers of all sites.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::error::ApiError;

/// The parameters of a request, as they came.
pub(super) struct QueryString(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for QueryString {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(error) => Err(ApiError::invalid(error.body_text())),
        }
    }
}

impl QueryString {
    /// All parameters, for an endpoint that reads them itself.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// The values of the parameters of an endpoint, in the order of their names. An empty value asks for nothing.
    ///
    /// Fails with words for the sender if there is another one, or one twice.
    pub(super) fn read<const N: usize>(self, names: [&str; N]) -> Result<[Option<String>; N], String> {
        let mut values = [const { None }; N];
        for (name, value) in self.0 {
            let Some(place) = names.iter().position(|known| *known == name) else { return Err(unknown(&name, &names)) };
            if value.is_empty() {
                continue;
            }
            if values[place].replace(value).is_some() {
                return Err(format!("the parameter {name} is there twice"));
            }
        }
        Ok(values)
    }
}

fn unknown(name: &str, names: &[&str]) -> String {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let meant = names.iter().find(|known| plain(known) == plain(name));
    match meant {
        Some(meant) => format!("there is no parameter {name:?}: write {meant}"),
        None if names.is_empty() => format!("there is no parameter {name:?}: this address takes none"),
        None => format!("there is no parameter {name:?}: there is {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_known_and_there_once() {
        check("site=shop", Ok([Some("shop"), None]));
        check("dateFrom=2026-03-01&site=a%20b", Ok([Some("a b"), Some("2026-03-01")]));
        check("site=", Ok([None, None]));
        check("", Ok([None, None]));
        check("Site=shop", Err("there is no parameter \"Site\": write site"));
        check("date_from=x", Err("there is no parameter \"date_from\": write dateFrom"));
        check("datefrom=x", Err("there is no parameter \"datefrom\": write dateFrom"));
        check("site_id=shop", Err("there is no parameter \"site_id\": there is site, dateFrom"));
        check("sites=shop", Err("there is no parameter \"sites\": there is site, dateFrom"));
        check("_=1772366400", Err("there is no parameter \"_\": there is site, dateFrom"));
        check("site=a&site=b", Err("the parameter site is there twice"));
    }

    #[track_caller]
    fn check(text: &str, expected: Result<[Option<&str>; 2], &str>) {
        let Query(pairs) = Query::try_from_uri(&format!("/?{text}").parse().unwrap()).unwrap();
        let read = QueryString(pairs).read(["site", "dateFrom"]);
        let read = read.as_ref().map(|values| values.each_ref().map(|value| value.as_deref())).map_err(String::as_str);
        assert_eq!(read, expected, "{text}");
    }
}
