//! The tables that sessions answer as: their columns, what each column needs of events, and rows as arrays.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;

use crate::sessions::making::finish::{At, RunPlace, Session, duration_s};
use crate::sessions::making::run::RunBatch;
use crate::sessions::wanted::{Place, SESSION_ID, Wanted};

/// A table over sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A row per session.
    Sessions,
    /// A row per visitor and day with an event.
    VisitorDays,
    /// A row per visitor.
    Visitors,
}

/// What a column is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Site,
    Visitor,
    /// A text of the session's events.
    Text(Place, &'static str),
    SessionId,
    User,
    Start,
    End,
    Day,
    Duration,
    Events,
    PageViews,
    Sessions,
    Engaged,
    IsBounce,
    IsNew,
    IsClient,
    IsCut,
    Revenue,
    Currency,
}

use Place::{Entry, Exit, First};

const SESSIONS: &[(&str, Part)] = &[
    ("site_id", Part::Site),
    ("visitor_id", Part::Visitor),
    ("session_id", Part::SessionId),
    ("user_id", Part::User),
    ("started_at", Part::Start),
    ("ended_at", Part::End),
    ("date", Part::Day),
    ("duration_s", Part::Duration),
    ("events", Part::Events),
    ("page_views", Part::PageViews),
    ("engaged_s", Part::Engaged),
    ("is_bounce", Part::IsBounce),
    ("entry_hostname", Part::Text(Entry, "hostname")),
    ("entry_page", Part::Text(Entry, "path")),
    ("exit_hostname", Part::Text(Exit, "hostname")),
    ("exit_page", Part::Text(Exit, "path")),
    ("referrer_host", Part::Text(First, "referrer_host")),
    ("channel", Part::Text(First, "channel")),
    ("utm_source", Part::Text(First, "utm_source")),
    ("utm_medium", Part::Text(First, "utm_medium")),
    ("utm_campaign", Part::Text(First, "utm_campaign")),
    ("browser", Part::Text(First, "browser")),
    ("os", Part::Text(First, "os")),
    ("device", Part::Text(First, "device")),
    ("country", Part::Text(First, "country")),
    ("language", Part::Text(First, "language")),
    ("revenue", Part::Revenue),
    ("currency", Part::Currency),
    ("is_client_session", Part::IsClient),
    ("is_cut", Part::IsCut),
];

const VISITOR_DAYS: &[(&str, Part)] = &[
    ("site_id", Part::Site),
    ("date", Part::Day),
    ("visitor_id", Part::Visitor),
    ("events", Part::Events),
    ("page_views", Part::PageViews),
    ("sessions", Part::Sessions),
    ("engaged_s", Part::Engaged),
    ("is_new", Part::IsNew),
];

const VISITORS: &[(&str, Part)] = &[
    ("site_id", Part::Site),
    ("visitor_id", Part::Visitor),
    ("user_id", Part::User),
    ("first_seen_at", Part::Start),
    ("last_seen_at", Part::End),
    ("events", Part::Events),
    ("page_views", Part::PageViews),
    ("sessions", Part::Sessions),
    ("first_hostname", Part::Text(Entry, "hostname")),
    ("first_page", Part::Text(Entry, "path")),
    ("first_referrer_host", Part::Text(First, "referrer_host")),
    ("first_channel", Part::Text(First, "channel")),
    ("first_utm_source", Part::Text(First, "utm_source")),
    ("first_utm_medium", Part::Text(First, "utm_medium")),
    ("first_utm_campaign", Part::Text(First, "utm_campaign")),
];

/// Sums of money: `decimal(38, 4)`, which no sum of events' own `decimal(18, 4)` exceeds.
const MONEY_SUM: DataType = DataType::Decimal128(38, 4);

impl Kind {
    /// The table's name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::VisitorDays => "visitor_days",
            Self::Visitors => "visitors",
        }
    }

    fn parts(self) -> &'static [(&'static str, Part)] {
        match self {
            Self::Sessions => SESSIONS,
            Self::VisitorDays => VISITOR_DAYS,
            Self::Visitors => VISITORS,
        }
    }

    /// The table's columns.
    pub(crate) fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 3]> = LazyLock::new(|| {
            [Kind::Sessions, Kind::VisitorDays, Kind::Visitors].map(|kind| {
                let fields = kind.parts().iter().map(|(name, part)| part.field(name));
                Arc::new(Schema::new(fields.collect::<Vec<_>>()))
            })
        });
        SCHEMAS[self as usize].clone()
    }
}

impl Part {
    fn field(self, name: &str) -> Field {
        let (data_type, nullable) = match self {
            Self::Site => (DataType::Utf8View, false),
            Self::Text(..) | Self::SessionId | Self::User | Self::Currency => (DataType::Utf8View, true),
            Self::Start | Self::End => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Self::Day => (DataType::Date32, false),
            Self::Visitor | Self::Duration | Self::Events | Self::PageViews | Self::Sessions | Self::Engaged => {
                (DataType::Int64, false)
            }
            Self::IsBounce | Self::IsNew | Self::IsClient | Self::IsCut => (DataType::Boolean, false),
            Self::Revenue => (MONEY_SUM, true),
        };
        Field::new(name, data_type, nullable)
    }
}

/// The columns that a query asks for, and where their texts are.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) kind: Kind,
    pub(crate) schema: SchemaRef,
    pub(crate) wanted: Wanted,
    parts: Vec<(Part, Option<usize>)>,
    user: Option<usize>,
}

impl Columns {
    /// - `projection`: the numbers of the columns; all if not given.
    pub(crate) fn new(kind: Kind, projection: Option<&Vec<usize>>) -> Result<Self> {
        let all: Vec<usize> = (0..kind.parts().len()).collect();
        let chosen = projection.unwrap_or(&all);
        let schema = Arc::new(kind.schema().project(chosen)?);
        let parts: Vec<Part> = chosen.iter().map(|column| kind.parts()[*column].1).collect();
        let has = |parts_of: &[Part]| parts.iter().any(|part| parts_of.contains(part));
        let mut wanted = Wanted {
            sessions: match kind {
                Kind::Sessions => true,
                Kind::VisitorDays => has(&[Part::Sessions, Part::Engaged]),
                Kind::Visitors => has(&[Part::Sessions]),
            },
            days: kind == Kind::VisitorDays,
            counts: has(&[Part::Events, Part::PageViews, Part::IsBounce]),
            engaged: has(&[Part::Engaged, Part::IsBounce]),
            revenue: has(&[Part::Revenue, Part::Currency]),
            ..Wanted::default()
        };
        let mut user = None;
        let parts = parts
            .into_iter()
            .map(|part| match part {
                Part::Text(place, column) => (part, Some(wanted.add_text(place, column))),
                Part::SessionId => (part, Some(SESSION_ID)),
                Part::User => {
                    user = Some(wanted.add_text(Place::SignedIn, "user_id"));
                    (part, user)
                }
                part => (part, None),
            })
            .collect();
        Ok(Self { kind, schema, wanted, parts, user })
    }

    /// Whether every row is known from the events of its own day. Otherwise what happened before matters.
    pub(crate) fn know_their_day_alone(&self) -> bool {
        let of_day =
            |part: &Part| matches!(part, Part::Site | Part::Day | Part::Visitor | Part::Events | Part::PageViews);
        self.kind == Kind::VisitorDays && self.parts.iter().all(|(part, _)| of_day(part))
    }

    /// Whether rows say that a chain of sessions was cut, which the event after it may decide.
    pub(crate) fn tell_cuts(&self) -> bool {
        self.parts.iter().any(|(part, _)| *part == Part::IsCut)
    }

    /// Whether rows name users.
    pub(crate) fn tell_users(&self) -> bool {
        self.user.is_some()
    }

    /// The run that has the user's id, if one has.
    pub(crate) fn user_of(&self, places: &[RunPlace], batches: &[Arc<RunBatch>]) -> User {
        let Some(text) = self.user else { return User::Unknown };
        let known = places.iter().find(|place| batches[place.batch as usize].text(text, place.run).is_some());
        known.map_or(User::Unknown, |place| User::OfRun(*place))
    }
}

/// A visitor's user id.
#[derive(Clone, Debug)]
pub(crate) enum User {
    Unknown,
    OfRun(RunPlace),
    Named(Arc<str>),
}

/// A row of an answer.
pub(crate) struct Row {
    pub(crate) site: u32,
    pub(crate) visitor: i64,
    pub(crate) user: User,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Session(Box<Session>, i32),
    Day(Day),
    Visitor(Box<Visitor>),
}

/// A visitor on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) day: i32,
    pub(crate) events: u64,
    pub(crate) page_views: u64,
    pub(crate) sessions: u64,
    pub(crate) engaged_s: i64,
    pub(crate) is_new: bool,
}

/// A visitor, over all time.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) first: At,
    pub(crate) end_us: i64,
    pub(crate) events: u64,
    pub(crate) page_views: u64,
    pub(crate) sessions: u64,
    pub(crate) entry: Option<At>,
}

impl Row {
    fn first(&self) -> Option<&At> {
        match &self.body {
            Body::Session(session, _) => Some(&session.first),
            Body::Visitor(visitor) => Some(&visitor.first),
            Body::Day(_) => None,
        }
    }

    fn place(&self, place: Place) -> Option<RunPlace> {
        let at = match (&self.body, place) {
            (_, Place::First) => self.first(),
            (Body::Session(session, _), Place::Entry) => session.entry.as_ref(),
            (Body::Session(session, _), Place::Exit) => session.exit.as_ref(),
            (Body::Visitor(visitor), Place::Entry) => visitor.entry.as_ref(),
            _ => None,
        };
        at.map(|at| at.place)
    }

    fn integer(&self, part: Part) -> i64 {
        match (part, &self.body) {
            (Part::Visitor, _) => self.visitor,
            (Part::Start, _) => self.first().map_or(0, |first| first.moment.at_us),
            (Part::End, Body::Session(session, _)) => session.end_us,
            (Part::End, Body::Visitor(visitor)) => visitor.end_us,
            (Part::Duration, Body::Session(session, _)) => duration_s(session.first.moment.at_us, session.end_us),
            (Part::Events, Body::Session(session, _)) => session.events as i64,
            (Part::Events, Body::Day(day)) => day.events as i64,
            (Part::Events, Body::Visitor(visitor)) => visitor.events as i64,
            (Part::PageViews, Body::Session(session, _)) => session.page_views as i64,
            (Part::PageViews, Body::Day(day)) => day.page_views as i64,
            (Part::PageViews, Body::Visitor(visitor)) => visitor.page_views as i64,
            (Part::Sessions, Body::Day(day)) => day.sessions as i64,
            (Part::Sessions, Body::Visitor(visitor)) => visitor.sessions as i64,
            (Part::Engaged, Body::Session(session, _)) => session.engaged_s,
            (Part::Engaged, Body::Day(day)) => day.engaged_s,
            _ => 0,
        }
    }

    fn day(&self) -> i32 {
        match &self.body {
            Body::Session(_, day) => *day,
            Body::Day(day) => day.day,
            Body::Visitor(_) => 0,
        }
    }

    fn flag(&self, part: Part) -> bool {
        match (part, &self.body) {
            (Part::IsBounce, Body::Session(session, _)) => session.is_bounce(),
            (Part::IsClient, Body::Session(session, _)) => session.is_client,
            (Part::IsCut, Body::Session(session, _)) => session.is_cut,
            (Part::IsNew, Body::Day(day)) => day.is_new,
            _ => false,
        }
    }

    /// The money of a session, if all of it is in one currency: sums of different currencies mean nothing.
    fn money(&self) -> Option<(Option<&str>, i128)> {
        match &self.body {
            Body::Session(session, _) => match &session.revenue[..] {
                [(currency, amount)] => Some((currency.as_deref(), *amount)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Rows that become one batch, and the runs that their texts are in.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) batches: Vec<Arc<RunBatch>>,
    by_address: HashMap<usize, u32>,
    sites: Vec<Arc<str>>,
    pub(crate) rows: Vec<Row>,
}

impl Chunk {
    /// The number of a batch of runs in this chunk.
    pub(crate) fn number_of(&mut self, batch: &Arc<RunBatch>) -> u32 {
        let (batches, address) = (&mut self.batches, Arc::as_ptr(batch) as usize);
        *self.by_address.entry(address).or_insert_with(|| {
            batches.push(batch.clone());
            batches.len() as u32 - 1
        })
    }

    /// The number of a site in this chunk.
    pub(crate) fn site(&mut self, site: &Arc<str>) -> u32 {
        if self.sites.last() != Some(site) {
            self.sites.push(site.clone());
        }
        self.sites.len() as u32 - 1
    }

    /// The rows as arrays.
    pub(crate) fn to_batch(&self, columns: &Columns) -> Result<RecordBatch> {
        let arrays = columns.parts.iter().map(|(part, text)| self.array(*part, *text)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(columns.schema.clone(), arrays, &options)?)
    }

    fn array(&self, part: Part, text: Option<usize>) -> Result<ArrayRef> {
        let rows = &self.rows;
        let integers = || rows.iter().map(|row| row.integer(part));
        Ok(match part {
            Part::Site => {
                let mut texts = StringViewBuilder::new().with_deduplicate_strings();
                rows.iter().for_each(|row| texts.append_value(&self.sites[row.site as usize]));
                Arc::new(texts.finish())
            }
            Part::Text(place, _) => self.texts(text.expect("a text is kept"), |row| row.place(place))?,
            Part::SessionId => self.texts(SESSION_ID, |row| row.place(Place::First))?,
            Part::User => {
                let text = text.expect("user ids are kept");
                let mut texts = StringViewBuilder::new();
                for row in rows {
                    match &row.user {
                        User::Unknown => texts.append_null(),
                        User::Named(name) => texts.append_value(name),
                        User::OfRun(place) => {
                            texts.append_option(self.batches[place.batch as usize].text(text, place.run));
                        }
                    }
                }
                Arc::new(texts.finish())
            }
            Part::Start | Part::End => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(integers()).with_timezone("UTC"))
            }
            Part::Day => Arc::new(Date32Array::from_iter_values(rows.iter().map(Row::day))),
            Part::IsBounce | Part::IsNew | Part::IsClient | Part::IsCut => {
                Arc::new(rows.iter().map(|row| Some(row.flag(part))).collect::<BooleanArray>())
            }
            Part::Revenue => {
                let sums = rows.iter().map(|row| row.money().map(|(_, amount)| amount));
                Arc::new(sums.collect::<Decimal128Array>().with_data_type(MONEY_SUM))
            }
            Part::Currency => {
                let names = rows.iter().map(|row| row.money().and_then(|(currency, _)| currency));
                Arc::new(names.collect::<StringViewArray>())
            }
            _ => Arc::new(Int64Array::from_iter_values(integers())),
        })
    }

    fn texts(&self, text: usize, place: impl Fn(&Row) -> Option<RunPlace>) -> Result<ArrayRef> {
        if self.batches.iter().all(|batch| batch.texts[text].null_count() == batch.runs.len()) {
            return Ok(Arc::new(StringViewArray::new_null(self.rows.len())));
        }
        let none = StringViewArray::new_null(1);
        let arrays = self.batches.iter().map(|batch| &batch.texts[text] as &dyn Array);
        let arrays: Vec<&dyn Array> = arrays.chain([&none as &dyn Array]).collect();
        let places: Vec<(usize, usize)> = self
            .rows
            .iter()
            .map(|row| place(row).map_or((arrays.len() - 1, 0), |place| (place.batch as usize, place.run as usize)))
            .collect();
        Ok(interleave(&arrays, &places)?)
    }
}

#[cfg(test)]
mod tests {
    use lake::SESSIONS;

    use super::*;

    #[test]
    fn the_table_in_the_lake_has_the_columns_of_the_table_of_sql() {
        let ours = Kind::Sessions.schema();
        let in_lake = SESSIONS.schema();
        let plain = |data_type: &DataType| match data_type {
            DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        let mut expected: Vec<(&str, DataType)> =
            ours.fields().iter().map(|field| (field.name().as_str(), plain(field.data_type()))).collect();
        // The lake has the date last, because it is the partition.
        let date = expected.remove(expected.iter().position(|(name, _)| *name == "date").unwrap());
        expected.push(date);
        let found: Vec<(&str, DataType)> =
            in_lake.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
        assert_eq!(found, expected);
    }
}
