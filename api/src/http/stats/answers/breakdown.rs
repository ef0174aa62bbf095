//! `breakdown`: numbers by the values of dimensions.

use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::imported;
use crate::http::stats::query::numbers::Numbers;
use crate::http::stats::query::statement::{Statement, Values};
use crate::http::stats::said::comparison;
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::filter::{Condition, Filter};
use crate::http::stats::said::metric::Metric;
use crate::http::stats::said::names;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{self, Common, Page, Setting};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Breakdown {
    pub(in crate::http::stats) common: Common,
    table: Table,
}

/// A table of numbers, and the page of it that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Table {
    pub(in crate::http::stats) metrics: Vec<Metric>,
    pub(in crate::http::stats) dimensions: Vec<Dimension>,
    pub(in crate::http::stats) currency: Option<String>,
    pub(in crate::http::stats) search: Option<String>,
    pub(in crate::http::stats) order_by: Vec<Order>,
    pub(in crate::http::stats) minimum: Vec<(Metric, f64)>,
    pub(in crate::http::stats) page: Page,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::http::stats) struct Order {
    column: Column,
    descending: bool,
}

/// A column of the answer, by its place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Metric(usize),
    Dimension(usize),
}

/// The rows with most of the first metric.
const MOST_FIRST: [Order; 1] = [Order { column: Column::Metric(0), descending: true }];

impl Breakdown {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let metrics = request::metrics(parameters, &[Metric::Visitors])?;
        let dimensions = request::dimensions(parameters, setting)?;
        if dimensions.is_empty() {
            return Err("name what to tell rows apart by: dimensions=country".to_owned());
        }
        let currency = request::currency(parameters, &metrics, &dimensions)?;
        request::check_goal(&common.counted, &metrics)?;
        let order_by = order_by(parameters, &metrics, &dimensions)?;
        let minimum = minimum(parameters, &metrics)?;
        let search = parameters.text("search")?.filter(|text| !text.is_empty());
        let page = Page::read(parameters)?;
        Ok(Self { common, table: Table { metrics, dimensions, currency, search, order_by, minimum, page } })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        let Table { metrics, dimensions, currency, search, order_by, minimum, page } = &self.table;
        echo.insert("metrics".into(), metrics.iter().map(|metric| metric.name()).collect());
        echo.insert("dimensions".into(), dimensions.iter().map(Dimension::name).collect());
        echo.insert("currency".into(), json!(currency));
        echo.insert("search".into(), json!(search));
        let order_by = order_by.iter().map(|order| {
            let name = match order.column {
                Column::Metric(at) => metrics[at].name().to_owned(),
                Column::Dimension(at) => dimensions[at].name(),
            };
            json!([name, if order.descending { "desc" } else { "asc" }])
        });
        echo.insert("order_by".into(), order_by.collect());
        let minimum = minimum.iter().map(|(metric, least)| (metric.name().to_owned(), json!(least)));
        echo.insert("minimum".into(), Value::Object(minimum.collect()));
        echo.insert("limit".into(), page.limit.into());
        echo.insert("offset".into(), page.offset.into());
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let table = &self.table;
        let addition = imported::find(asker, &self.common, &table.metrics, &table.dimensions, None).await?;
        let numbers = Numbers { imported: addition.days(), ..table.numbers(&self.common) };
        let rows = asker.rows(&table.statement(&numbers)).await?;
        let total = match rows.first() {
            Some(row) => row[table.width()].clone(),
            // Behind the last page nothing says how many there are.
            None if table.page.offset > 0 => asker.rows(&table.count(&numbers)).await?[0][0].clone(),
            None => 0.into(),
        };
        let keys: Vec<Vec<Value>> = rows.iter().map(|row| row[..table.dimensions.len()].to_vec()).collect();
        let others = match self.common.compared() {
            Some(compared) if !keys.is_empty() => {
                let others = Numbers { counted: compared, ..numbers }.only(&keys);
                let mut values = Values::default();
                let sql = others.sql(&mut values);
                Some(asker.rows(&values.into_statement(sql)).await?)
            }
            _ => None,
        };
        let results = rows.iter().map(|row| {
            let (key, metrics) = row[..table.width()].split_at(table.dimensions.len());
            let mut result = Map::new();
            result.insert("dimensions".into(), by_dimension(&table.dimensions, key));
            result.insert("metrics".into(), comparison::by_name(&table.metrics, metrics));
            if let Some(others) = &others {
                let other = others.iter().find(|other| other.starts_with(key));
                let other =
                    other.map_or_else(|| comparison::nothing(&table.metrics), |other| other[key.len()..].to_vec());
                result.insert("comparison".into(), comparison::compare(&table.metrics, metrics, &other).into());
            }
            Value::Object(result)
        });
        let mut answer = Map::new();
        answer.insert("results".into(), results.collect());
        answer.insert("total_rows".into(), total);
        addition.say(&mut answer);
        Ok(answer)
    }
}

/// Values by the names of their dimensions.
pub(in crate::http::stats) fn by_dimension(dimensions: &[Dimension], values: &[Value]) -> Value {
    Value::Object(dimensions.iter().zip(values).map(|(one, value)| (one.name(), value.clone())).collect())
}

impl Table {
    /// The same, the rows with most of the first metric first.
    pub(in crate::http::stats) fn most_first(self) -> Self {
        Self { order_by: MOST_FIRST.to_vec(), ..self }
    }

    pub(in crate::http::stats) fn numbers(&self, common: &Common) -> Numbers {
        Numbers {
            counted: common.counted.clone(),
            metrics: self.metrics.clone(),
            dimensions: self.dimensions.clone(),
            times: None,
            currency: self.currency.clone(),
            imported: None,
        }
    }

    /// How many columns a row has: its dimensions and its metrics.
    fn width(&self) -> usize {
        self.dimensions.len() + self.metrics.len()
    }

    /// All rows that are wanted, of all pages.
    fn wanted(&self, numbers: &Numbers, values: &mut Values) -> String {
        let mut conditions = vec!["TRUE".to_owned()];
        if let Some(search) = &self.search {
            let text = values.text(&search.to_lowercase());
            let found = (0..self.dimensions.len()).map(|at| format!("contains(lower(d{at}), {text})"));
            conditions.push(format!("({})", found.collect::<Vec<_>>().join(" OR ")));
        }
        for (metric, least) in &self.minimum {
            let at =
                self.metrics.iter().position(|known| known == metric).expect("a minimum is of a metric of the request");
            let least = values.bind(engine::Param::Float(*least));
            conditions.push(format!("CAST(m{at} AS DOUBLE) >= {least}"));
        }
        format!("FROM ({}) AS numbers WHERE {}", numbers.sql(values), conditions.join(" AND "))
    }

    /// The page, each row with the number of rows of all pages.
    pub(in crate::http::stats) fn statement(&self, numbers: &Numbers) -> Statement {
        let mut values = Values::default();
        let wanted = self.wanted(numbers, &mut values);
        let dimensions = (0..self.dimensions.len()).map(|at| format!("d{at}"));
        let metrics = (0..self.metrics.len()).map(|at| format!("m{at}"));
        let order = self.order_by.iter().map(|Order { column, descending }| {
            let column = match column {
                Column::Metric(at) => format!("m{at}"),
                Column::Dimension(at) => format!("d{at}"),
            };
            format!("{column} {} NULLS LAST", if *descending { "DESC" } else { "ASC" })
        });
        let (limit, offset) = (values.number(self.page.limit), values.number(self.page.offset));
        let sql = format!(
            "SELECT {}, count(*) OVER () AS total {wanted} ORDER BY {} LIMIT {limit} OFFSET {offset}",
            dimensions.clone().chain(metrics).collect::<Vec<_>>().join(", "),
            order.chain(dimensions.map(|one| format!("{one} ASC NULLS LAST"))).collect::<Vec<_>>().join(", "),
        );
        values.into_statement(sql)
    }

    /// How many rows there are.
    fn count(&self, numbers: &Numbers) -> Statement {
        let mut values = Values::default();
        let sql = format!("SELECT count(*) AS total {}", self.wanted(numbers, &mut values));
        values.into_statement(sql)
    }
}

impl Numbers {
    /// The same of some rows, and perhaps of others: each dimension has a value that one of them has.
    ///
    /// - `keys`: the values of the rows' dimensions.
    pub(in crate::http::stats) fn only(mut self, keys: &[Vec<Value>]) -> Self {
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let mut texts: Vec<Option<String>> = keys.iter().map(|key| key[at].as_str().map(str::to_owned)).collect();
            texts.sort();
            texts.dedup();
            let filter = Filter::Condition(Condition::is_any_of(dimension.clone(), texts));
            self.counted.filter = self.counted.filter.and(filter);
        }
        self
    }
}

/// The first metric, most first, if nothing is asked for.
fn order_by(parameters: &mut Parameters, metrics: &[Metric], dimensions: &[Dimension]) -> Result<Vec<Order>, String> {
    let pairs = match parameters.one("order_by") {
        None => return Ok(MOST_FIRST.to_vec()),
        Some(Value::String(text)) => {
            let pair = |text: &str| match text.trim().rsplit_once(':') {
                Some((name, direction)) => (name.to_owned(), direction.to_owned()),
                None => (text.trim().to_owned(), "desc".to_owned()),
            };
            text.split(',').map(pair).collect()
        }
        Some(Value::Array(pairs)) => pairs.iter().map(pair).collect::<Result<Vec<_>, _>>()?,
        Some(other) => return Err(format!("order_by is a list such as [[\"visitors\", \"desc\"]], and not {other}")),
    };
    pairs.iter().map(|(name, direction)| order(name, direction, metrics, dimensions)).collect()
}

fn pair(value: &Value) -> Result<(String, String), String> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(direction)]) => Ok((name.clone(), direction.clone())),
        _ => Err(format!("order_by is a list such as [[\"visitors\", \"desc\"]], and {value} is no part of one")),
    }
}

fn order(name: &str, direction: &str, metrics: &[Metric], dimensions: &[Dimension]) -> Result<Order, String> {
    let metric = metrics.iter().position(|metric| metric.name() == name).map(Column::Metric);
    let dimension = || dimensions.iter().position(|dimension| dimension.name() == name).map(Column::Dimension);
    let column = metric.or_else(dimension).ok_or_else(|| {
        let own: Vec<String> = dimensions.iter().map(Dimension::name).collect();
        let known = metrics.iter().map(|metric| metric.name()).chain(own.iter().map(String::as_str));
        names::unknown("column to order by in this request", name, known, &[])
    })?;
    match direction {
        "asc" | "desc" => Ok(Order { column, descending: direction == "desc" }),
        other => Err(format!("rows are ordered asc or desc, and not {other:?}")),
    }
}

fn minimum(parameters: &mut Parameters, metrics: &[Metric]) -> Result<Vec<(Metric, f64)>, String> {
    let pairs: Vec<(String, String)> = match parameters.one("minimum") {
        None => return Ok(vec![]),
        Some(Value::String(text)) => {
            let pair = |text: &str| {
                let pair = text.trim().split_once(':').map(|(name, least)| (name.to_owned(), least.to_owned()));
                pair.ok_or_else(|| format!("{text:?} is no minimum: write visitors:10"))
            };
            text.split(',').map(pair).collect::<Result<_, _>>()?
        }
        Some(Value::Object(least)) => least.into_iter().map(|(name, least)| (name, least.to_string())).collect(),
        Some(other) => return Err(format!("minimum is an object such as {{\"visitors\": 10}}, and not {other}")),
    };
    let read = |(name, least): (String, String)| {
        let metric = metrics.iter().copied().find(|metric| metric.name() == name);
        let known = metrics.iter().map(|metric| metric.name());
        let metric = metric.ok_or_else(|| names::unknown("metric in this request", &name, known, &[]))?;
        match least.parse::<f64>() {
            Ok(least) if least.is_finite() => Ok((metric, least)),
            _ => Err(format!("the minimum of {name} is a number, and not {least}")),
        }
    };
    pairs.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: [Metric; 2] = [Metric::Visitors, Metric::PageViews];

    fn parameters(body: Value) -> Parameters {
        Parameters::of_body(body.to_string().as_bytes(), &[("order_by", false), ("minimum", false)]).unwrap()
    }

    #[test]
    fn rows_are_in_an_order_that_is_asked_for() {
        let dimensions = [Dimension::Event("path")];
        let read = |order: Value| order_by(&mut parameters(json!({ "order_by": order })), &METRICS, &dimensions);
        let expected = Ok(vec![
            Order { column: Column::Metric(1), descending: true },
            Order { column: Column::Dimension(0), descending: false },
        ]);
        assert_eq!(read(json!("page_views:desc,path:asc")), expected);
        assert_eq!(read(json!("page_views, path:asc")), expected);
        assert_eq!(read(json!([["page_views", "desc"], ["path", "asc"]])), expected);
        for (order, words) in [
            (json!("sessions"), "there is no column to order by in this request \"sessions\": there is visitors"),
            (json!("visitors:down"), "asc or desc, and not \"down\""),
            (json!(["visitors"]), "is no part of one"),
            (json!(7), "and not 7"),
        ] {
            let refused = read(order).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_minimum_is_of_a_metric_of_the_request() {
        let read = |least: Value| minimum(&mut parameters(json!({ "minimum": least })), &METRICS);
        let expected = Ok(vec![(Metric::PageViews, 3.0), (Metric::Visitors, 1.5)]);
        assert_eq!(read(json!("page_views:3,visitors:1.5")), expected);
        assert_eq!(read(json!({ "page_views": 3, "visitors": 1.5 })), expected);
        for (least, words) in [
            (json!("page_views"), "write visitors:10"),
            (json!("page_view:3"), "did you mean page_views?"),
            (json!("page_views:NaN"), "is a number, and not NaN"),
            (json!({ "page_views": "x" }), "is a number, and not"),
            (json!([1]), "minimum is an object"),
        ] {
            let refused = read(least).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
