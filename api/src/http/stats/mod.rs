//! `/v1/stats/…`: numbers, series, tables, funnels and the like, without SQL. A request is parsed and checked, which is
//! pure; then it is answered by what is kept of the same request while no event has come, or waits for its turn among all
//! queries, and is answered by SQL over one view of the lake.

mod answers;
mod asked;
mod endpoint;
mod openapi;
mod query;
mod said;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{EngineError, View};
use lake::{SavedItem, SavedKind, Site, SiteSettings};
use serde_json::{Value, json};

use self::asked::Asked;
use self::endpoint::Endpoint;
use self::query::asker::Asker;
use self::query::statement::Values;
use self::said::filter::Filter;
use self::said::goal::{self, Goal};
use self::said::names;
use self::said::parameters::Parameters;
use self::said::range;
use self::said::request::Setting;
pub(crate) use self::said::zone::Zone;
use super::caller::reader::{Part, Reader};
use super::error::ApiError;
use super::etag::matches_etag;
use super::query_string::QueryString;
use super::sql::kept::AnswerKey;
use super::state::Api;

/// A request is a page of text.
const BODY_BYTES_MAX: usize = 256 << 10;

pub(super) fn router() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for endpoint in Endpoint::ALL {
        let in_address = move |State(api): State<Arc<Api>>,
                               Extension(reader): Extension<Reader>,
                               id: Option<Path<String>>,
                               query: QueryString,
                               headers: HeaderMap| async move {
            let parameters = Parameters::of_query(query.into_pairs(), &endpoint.names());
            answer(&api, &reader, endpoint, id, parameters, &headers).await
        };
        let in_body = move |State(api): State<Arc<Api>>,
                            Extension(reader): Extension<Reader>,
                            id: Option<Path<String>>,
                            query: QueryString,
                            headers: HeaderMap,
                            body: Result<Bytes, BytesRejection>| async move {
            let [] = query.read([]).map_err(ApiError::invalid)?;
            let body = body.map_err(|error| match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge { bytes_max: BODY_BYTES_MAX },
                _ => ApiError::invalid(error.body_text()),
            })?;
            answer(&api, &reader, endpoint, id, Parameters::of_body(&body, &endpoint.names()), &headers).await
        };
        let routes = match endpoint {
            // Its address says all that it is asked.
            Endpoint::Session => get(in_address),
            _ => get(in_address).post(in_body).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
        };
        router = router.route(&format!("/v1/stats/{}", endpoint.path()), routes);
    }
    router.route("/v1/stats/{*path}", get(not_found).post(not_found))
}

/// The document of this API, which whoever has no key may read, too.
pub(super) fn open_router() -> Router<Arc<Api>> {
    Router::new().route("/v1/stats/openapi.json", get(|| async { Json(openapi::document()) }))
}

async fn not_found(Path(path): Path<String>) -> ApiError {
    let paths = Endpoint::ALL.into_iter().map(Endpoint::path).chain(["openapi.json"]);
    ApiError::NotFound(names::unknown("endpoint", &path, paths, &[]))
}

async fn answer(
    api: &Api,
    reader: &Reader,
    endpoint: Endpoint,
    id: Option<Path<String>>,
    parameters: Result<Parameters, String>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let answer = answer_or_kept(api, reader, endpoint, id, parameters, headers).await;
    answer.inspect_err(|_| count("refused"))
}

/// The answer to somebody who asks from within this server.
///
/// - `endpoint`: its address below `/v1/stats/`.
/// - `asked`: its parameters.
pub(crate) async fn ask(api: &Api, reader: &Reader, endpoint: &str, asked: &Value) -> Result<Value, ApiError> {
    let endpoint = Endpoint::ALL.into_iter().find(|known| known.path() == endpoint);
    let endpoint = endpoint.ok_or_else(|| ApiError::NotFound("there is no such endpoint".to_owned()))?;
    let parameters = Parameters::of_body(asked.to_string().as_bytes(), &endpoint.names());
    let answer = answer(api, reader, endpoint, None, parameters, &HeaderMap::new()).await?;
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    let body = body.map_err(|error| ApiError::invalid(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| ApiError::invalid(error.to_string()))
}

async fn answer_or_kept(
    api: &Api,
    reader: &Reader,
    endpoint: Endpoint,
    id: Option<Path<String>>,
    parameters: Result<Parameters, String>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let mut parameters = parameters.map_err(ApiError::invalid)?;
    let names = parameters.list("site").map_err(ApiError::invalid)?.unwrap_or_default();
    let part = reader.part_of(&names)?;
    let sites = sites(api, &part).await?;
    if let Some(missing) = names.iter().find(|name| !sites.iter().any(|site| *site.site_id == **name)) {
        return Err(ApiError::NotFound(format!("there is no site {missing}")));
    }
    if reader.sees_no_people() && endpoint.shows_people() {
        return Err(ApiError::MayNot("a link shows numbers, and no people".to_owned()));
    }
    let setting = Setting {
        first_event_at: match parameters.say("date_range", range::ALL) {
            true => first_event_at(api, reader, &part, parameters.says_yes("with_imported")).await?,
            false => None,
        },
        goals: match endpoint == Endpoint::Goals || parameters.mention("goal") || mentions_goal(reader) {
            true => goals(api, &sites).await?,
            false => vec![],
        },
        fixed: reader.fixed_filters().to_vec(),
        no_people: reader.sees_no_people(),
        ..setting_of(&sites, (api.clock)())
    };
    let asked = Asked::read(endpoint, id.as_deref().map_or("", String::as_str), &mut parameters, &setting)
        .map_err(ApiError::invalid)?;

    // What is kept need not wait for those who ask something new.
    let at_once = api.turn_at_once(reader);
    let rules = rules(&sites);
    let mut moment = Moment::of(api, &asked, &part, &rules).await?;
    if let Some(kept) = moment.kept(api, headers) {
        return Ok(kept);
    }
    let _turn = match at_once {
        Some(turn) => turn,
        None => {
            drop(moment);
            let turn = api.turn(reader).await?;
            // Files that a view names do not stay for ever, and others may have asked the same meanwhile.
            moment = Moment::of(api, &asked, &part, &rules).await?;
            if let Some(kept) = moment.kept(api, headers) {
                return Ok(kept);
            }
            turn
        }
    };
    let Moment { view, key, fresh } = moment;
    let session = part.session(&view, reader).map_err(ApiError::unread("the events"))?.keeping_rows();
    let mut body = asked.answer(&Asker::new(session, api.limits)).await?;
    let mut echo = asked.echo();
    echo.insert("sites".into(), named_sites(&part));
    body.insert("query".into(), echo.into());
    let body = Bytes::from(Value::Object(body).to_string());
    // Sessions follow the settings of their site. If these have changed meanwhile, nobody knows which the answer has.
    if self::sites(api, &part).await.is_ok_and(|sites| self::rules(&sites) == rules) {
        api.sql.kept.keep(key, body.clone());
    }
    count("whole");
    Ok(with_headers(fresh.of(&body), &key, "miss"))
}

/// A moment at which a request is answered.
struct Moment {
    view: Arc<View>,
    /// Of all that the answer follows from.
    key: AnswerKey,
    fresh: Fresh,
}

impl Moment {
    /// Now.
    ///
    /// - `rules`: what sessions follow from, beside the events.
    async fn of(api: &Api, asked: &Asked, part: &Part, rules: &str) -> Result<Self, ApiError> {
        let as_of = (api.clock)();
        let view = api.view_of(part).await?;
        let imported = match asked.common().with_imported {
            true => view.imported_days_version().await.map_err(ApiError::unread("the imported days"))?,
            false => None,
        };
        let key = AnswerKey::of(&[
            "stats",
            &format!("{asked:?}"),
            &format!("{part:?}"),
            rules,
            &view.snapshot().fingerprint().to_string(),
            &format!("{imported:?}"),
        ]);
        let fresh = Fresh {
            as_of: asked.common().zone.show(as_of),
            complete_until: asked.common().zone.show(as_of.min(asked.common().counted.range.until)),
            lake_version: view.snapshot().events.version.map_or(-1, |version| version as i64),
        };
        Ok(Self { view, key, fresh })
    }

    /// The answer that is kept, or that it is what the reader has; nothing if the events have to be asked.
    fn kept(&self, api: &Api, headers: &HeaderMap) -> Option<Response> {
        if matches_etag(headers, &self.key.etag()) {
            count("unchanged");
            return Some(with_headers(StatusCode::NOT_MODIFIED.into_response(), &self.key, "hit"));
        }
        let kept = api.sql.kept.get(&self.key)?;
        count("kept");
        Some(with_headers(self.fresh.of(&kept), &self.key, "hit"))
    }
}

/// What an answer says of the moment at which it holds. It is another one each time, though the numbers are kept.
struct Fresh {
    as_of: String,
    complete_until: String,
    lake_version: i64,
}

impl Fresh {
    /// The answer, of a JSON object with the rest of it.
    fn of(&self, body: &[u8]) -> Response {
        let Self { as_of, complete_until, lake_version } = self;
        let fresh =
            json!({ "as_of": as_of, "complete_until": complete_until, "lake_version": lake_version }).to_string();
        let mut whole = fresh.into_bytes();
        whole.pop();
        whole.push(b',');
        whole.extend_from_slice(&body[1..]);
        Body::from(whole).into_response()
    }
}

/// The sites that a request is asked of.
async fn sites(api: &Api, part: &Part) -> Result<Vec<Arc<Site>>, ApiError> {
    let directory = api.people.lake().sites().await;
    let directory = directory.map_err(EngineError::from).map_err(ApiError::unread("the sites"))?;
    let is_meant = |site: &&Arc<Site>| match part {
        Part::Lake(None) => true,
        Part::Lake(Some(one)) => site.site_id == *one,
        Part::Sites(sites) => sites.contains(&site.site_id),
    };
    Ok(directory.sites().iter().filter(is_meant).cloned().collect())
}

/// What the settings of sites say of a request to them all.
fn setting_of(sites: &[Arc<Site>], now: DateTime<Utc>) -> Setting {
    let default = SiteSettings::default();
    let zones: Vec<&str> = sites.iter().map(|site| site.settings.time_zone.as_str()).collect();
    let time_zone = match zones.as_slice() {
        [zone, others @ ..] if others.iter().all(|other| other == zone) => (*zone).to_owned(),
        _ => default.time_zone,
    };
    let cap = sites.iter().map(|site| site.settings.session_cap_s).max().unwrap_or(default.session_cap_s);
    Setting {
        now,
        time_zone,
        session_cap: TimeDelta::seconds(cap.into()),
        first_event_at: None,
        goals: vec![],
        fixed: vec![],
        no_people: false,
    }
}

/// When the first event of a part happened that is counted.
///
/// - `with_imported`: whether days that were imported count, too.
async fn first_event_at(
    api: &Api,
    reader: &Reader,
    part: &Part,
    with_imported: bool,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    let _turn = api.turn(reader).await?;
    let view = api.view_of(part).await?;
    let session = part.session(&view, reader).map_err(ApiError::unread("the events"))?.keeping_rows();
    let sql = "SELECT min(e.occurred_at) AS first FROM events AS e WHERE NOT e.is_bot";
    let asker = Asker::new(session, api.limits);
    let first = async |sql: &str| {
        let rows = asker.rows(&Values::default().into_statement(sql.to_owned())).await?;
        Ok::<_, ApiError>(rows.first().and_then(|row| row[0].as_str().map(str::to_owned)))
    };
    let event: Option<DateTime<Utc>> = first(sql).await?.and_then(|first| first.parse().ok());
    if !with_imported {
        return Ok(event);
    }
    let day = first("SELECT min(d.day) AS first FROM imported_days AS d").await?;
    let day: Option<chrono::NaiveDate> = day.and_then(|day| day.get(..10)?.parse().ok());
    Ok(event.into_iter().chain(day.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc())).min())
}

fn mentions_goal(reader: &Reader) -> bool {
    reader.fixed_filters().iter().any(|filter| filter.to_string().contains("goal"))
}

/// The goals of a site; none of several, which may call different things alike.
async fn goals(api: &Api, sites: &[Arc<Site>]) -> Result<Vec<Goal>, ApiError> {
    let [site] = sites else { return Ok(vec![]) };
    let items = api.people.lake().saved(&site.site_id, SavedKind::Goals).await;
    let items = items.map_err(EngineError::from).map_err(ApiError::unread("the goals"))?;
    Ok(items.iter().filter_map(goal_of).collect())
}

/// A goal as it is kept; `None` for one that a later release keeps in another form.
fn goal_of(item: &SavedItem) -> Option<Goal> {
    let text = |name: &str| item.says.get(name).and_then(Value::as_str).map(str::to_owned);
    let (kind, value) = (text("kind")?, text("value")?);
    let filters = item.says.get("filters").and_then(Value::as_array).cloned().unwrap_or_default();
    let filter = goal::filter(&kind, &value, &filters).ok()?;
    Some(Goal { id: item.id.clone(), name: text("name")?, kind, value, filter })
}

/// Whether these can be filters. Fails with words for the sender.
pub(super) fn check_filters(filters: &[Value]) -> Result<(), String> {
    let all = filters.iter().map(Filter::read_json).collect::<Result<Vec<_>, _>>()?;
    Filter::And(all).check_size()
}

/// Whether this can be a goal. Fails with words for the sender.
pub(super) fn check_goal(kind: &str, value: &str, filters: &[Value]) -> Result<(), String> {
    goal::filter(kind, value, filters).map(drop)
}

/// Whether these can be the steps of a funnel, and this its window. Fails with words for the sender.
pub(super) fn check_steps(steps: &[Value], window: Option<&str>) -> Result<(), String> {
    answers::funnel::check(steps, window)
}

/// What sessions follow from, beside the events.
fn rules(sites: &[Arc<Site>]) -> String {
    let rules = sites.iter().map(|site| {
        let SiteSettings { session_gap_s, session_cap_s, time_zone, .. } = &site.settings;
        (&site.site_id, *session_gap_s, *session_cap_s, time_zone)
    });
    format!("{:?}", rules.collect::<Vec<_>>())
}

/// The sites that were counted, or null for the whole lake.
fn named_sites(part: &Part) -> Value {
    match part {
        Part::Lake(None) => Value::Null,
        Part::Lake(Some(site)) => json!([&**site]),
        Part::Sites(sites) => sites.iter().map(|site| &**site).collect(),
    }
}

fn with_headers(mut response: Response, key: &AnswerKey, x_cache: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::VARY, HeaderValue::from_static("authorization"));
    // Readers may keep it and must ask whether it still holds: an event may come at any moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert("x-cache", HeaderValue::from_static(x_cache));
    headers.insert(header::ETAG, key.etag().parse().expect("a tag is printable ASCII"));
    response
}

/// Counts a request by how it ended.
fn count(outcome: &'static str) {
    metrics::counter!("dewpond_stats_requests_total", "outcome" => outcome).increment(1);
}
