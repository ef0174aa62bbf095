//! A server that answers SQL over HTTP, as `POST /v1/sql` does.

use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::{Array, AsArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_ipc::reader::StreamDecoder;
use engine::{EngineError, QueryLimits};
use reqwest::{Client, Response, StatusCode, Url, header};
use serde_json::Value;

use super::answers::{Column, Refusal, Rows, Table};
use super::types::sql_type_named;

/// How long a server may take to be reached.
const CONNECT_MAY_TAKE: Duration = Duration::from_secs(10);

/// What an answer is asked for in.
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// What is said of an answer without its end.
const CUT: &str =
    "the server ended the answer before it was whole: a limit was reached, or it cannot go on; its log says why";

/// A server, and who asks it.
pub(super) struct Server {
    client: Client,
    sql: Url,
    key: Option<String>,
    limits: QueryLimits,
}

impl Server {
    /// - `url`: of the server, as `http://127.0.0.1:8081`.
    /// - `key`: a read key, or the server's token.
    /// - `site`: the one site that is asked of, if not all that the key opens.
    pub(super) fn new(url: &str, key: Option<String>, site: Option<&str>, limits: QueryLimits) -> anyhow::Result<Self> {
        let mut sql = address(url)?;
        if let Some(site) = site {
            sql.query_pairs_mut().append_pair("site", site);
        }
        if key.is_some() && sql.scheme() == "http" && !is_loopback(&sql) {
            tracing::warn!(%url, "the key and the answers go over the network unencrypted: use https");
        }
        let client = Client::builder().connect_timeout(CONNECT_MAY_TAKE).build()?;
        Ok(Self { client, sql, key, limits })
    }

    pub(super) fn name(&self) -> String {
        self.sql.origin().ascii_serialization()
    }

    /// The rows of an answer. Dropped before it has them, it ends the connection, and with it the query.
    pub(super) async fn rows(&self, sql: &str, found: impl Fn(usize)) -> Result<Rows, Refusal> {
        let limits = self.limits;
        let asked = tokio::time::timeout(limits.timeout, self.answer(sql, found)).await;
        let too_late = EngineError::Timeout { after: limits.timeout, flag: limits.flags.timeout };
        asked.map_err(|_| Refusal::from(too_late))?
    }

    async fn answer(&self, sql: &str, found: impl Fn(usize)) -> Result<Rows, Refusal> {
        let request = self.client.post(self.sql.clone()).header(header::ACCEPT, ARROW);
        let request = request.header(header::CONTENT_TYPE, "text/plain; charset=utf-8").body(sql.to_owned());
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let answer = request.send().await.with_context(|| format!("{} cannot be asked", self.name()))?;
        match answer.status() {
            StatusCode::OK => self.read(answer, found).await,
            _ => Err(refusal(answer).await),
        }
    }

    async fn read(&self, mut answer: Response, found: impl Fn(usize)) -> Result<Rows, Refusal> {
        let of = answer.headers().get(header::CONTENT_TYPE).and_then(|of| of.to_str().ok()).unwrap_or_default();
        if !of.starts_with(ARROW) {
            return Err(anyhow::anyhow!("{} is no server of Dewpond: it answers {of:?}", self.name()).into());
        }
        let mut decoder = StreamDecoder::new();
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(chunk) = answer.chunk().await.context(CUT)? {
            let mut chunk = Buffer::from(chunk);
            while let Some(batch) = decoder.decode(&mut chunk).context(CUT)? {
                found(batch.num_rows());
                rows += batch.num_rows() as u64;
                if let Some(rows_max) = self.limits.rows_max.filter(|rows_max| rows > *rows_max) {
                    return Err(EngineError::TooManyRows { rows_max, flag: self.limits.flags.rows_max }.into());
                }
                batches.push(batch);
            }
        }
        decoder.finish().context(CUT)?;
        Ok((decoder.schema().context(CUT)?, batches))
    }

    pub(super) async fn tables(&self) -> anyhow::Result<Vec<Table>> {
        let sql = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
            WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
        let mut tables: Vec<Table> = Vec::new();
        for [table, name, data_type, nullable] in self.texts(sql).await? {
            let column = Column { name, sql_type: sql_type_named(&data_type), is_nullable: nullable == "YES" };
            match tables.last_mut().filter(|last| last.name == table) {
                Some(last) => last.columns.push(column),
                None => tables.push(Table { name: table, columns: vec![column] }),
            }
        }
        Ok(tables)
    }

    pub(super) async fn functions(&self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY 1";
        Ok(self.texts(sql).await?.into_iter().map(|[name]| name).collect())
    }

    /// The rows of a query whose columns are texts.
    async fn texts<const N: usize>(&self, sql: &str) -> anyhow::Result<Vec<[String; N]>> {
        let (_, batches) = self.rows(sql, |_| {}).await.map_err(|refusal| refusal.of(sql))?;
        let mut rows = Vec::new();
        for batch in batches {
            let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            if columns.len() != N {
                bail!("{} answers {} columns and not {N}", self.name(), columns.len());
            }
            rows.extend((0..batch.num_rows()).map(|row| {
                std::array::from_fn(|column| {
                    let column = columns[column].as_string::<i32>();
                    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
                })
            }));
        }
        Ok(rows)
    }
}

/// Where a server answers SQL. Fails if the text is no address of one.
fn address(url: &str) -> anyhow::Result<Url> {
    let base: Url = format!("{}/", url.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("{url:?} is no address of a server: write http://HOST:8081"))?;
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        bail!("{url:?} is no address of a server: write http://HOST:8081 or https://HOST");
    }
    base.join("v1/sql").with_context(|| format!("{url:?} is no address of a server"))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Why the server did not answer, as it says it.
async fn refusal(answer: Response) -> Refusal {
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(said) if said["message"].is_string() => of_words(status, &said),
        _ => anyhow::anyhow!("the server answered {status}: {}", text.chars().take(200).collect::<String>()).into(),
    }
}

fn of_words(status: StatusCode, said: &Value) -> Refusal {
    let mut words = said["message"].as_str().unwrap_or_default().to_owned();
    if let Some(hint) = said["hint"].as_str().filter(|hint| !words.contains(hint)) {
        words = format!("{words}. {hint}");
    }
    if status == StatusCode::UNAUTHORIZED {
        words = "the server wants a read key or its token: give it with --key, or as DEWPOND_KEY".to_owned();
    }
    Refusal::Words(words, said["line"].as_u64().zip(said["column"].as_u64()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_that_of_a_server() {
        for (url, expected) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081/v1/sql"),
            ("https://dewpond.example/", "https://dewpond.example/v1/sql"),
            ("https://shop.example/analytics", "https://shop.example/analytics/v1/sql"),
        ] {
            assert_eq!(address(url).unwrap().as_str(), expected);
        }
        for wrong in ["", "127.0.0.1:8081", "s3://bucket/lake", "data/lake", "http://"] {
            let error = address(wrong).unwrap_err().to_string();
            assert!(error.contains("is no address of a server"), "{error}");
        }
        for (url, expected) in [("http://[::1]:1", true), ("http://localhost", true), ("http://10.0.0.1", false)] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected);
        }
    }

    #[test]
    fn what_a_server_says_is_said_again_with_its_place() {
        let shown = |status, said| of_words(status, &said).of("SELECT\nx").to_string();
        let wrong = json!({ "message": "there is no column x", "line": 2, "column": 1 });
        assert_eq!(shown(StatusCode::BAD_REQUEST, wrong), "there is no column x\nx\n^");
        let refused = json!({ "message": "DROP is not allowed", "hint": "Write a query." });
        assert_eq!(shown(StatusCode::BAD_REQUEST, refused), "DROP is not allowed. Write a query.");
        let nobody = json!({ "message": "send a read key" });
        assert!(shown(StatusCode::UNAUTHORIZED, nobody).contains("--key"));
    }
}
