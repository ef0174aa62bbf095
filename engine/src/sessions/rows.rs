//! Events of one input as typed columns.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
    make_view,
};
use datafusion::arrow::buffer::{BooleanBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};

use crate::sessions::making::run::Id;
use crate::sessions::wanted::Wanted;

/// Rows of `events`, of which some columns were read.
pub(crate) struct Rows {
    pub(crate) sites: StringViewArray,
    pub(crate) visitors: Int64Array,
    pub(crate) times_us: ScalarBuffer<i64>,
    /// Which events are of robots; none if there are no such ones.
    bots: Option<BooleanBuffer>,
    pub(crate) session_ids: Option<StringViewArray>,
    pub(crate) names: Option<StringViewArray>,
    pub(crate) users: Option<StringViewArray>,
    pub(crate) hostnames: Option<StringViewArray>,
    pub(crate) paths: Option<StringViewArray>,
    pub(crate) properties: Option<StringViewArray>,
    pub(crate) revenue: Option<Decimal128Array>,
    pub(crate) currencies: Option<StringViewArray>,
    ids: Option<BinaryViewArray>,
    /// The columns of the kept texts, in their order.
    pub(crate) texts: Vec<StringViewArray>,
}

impl Rows {
    pub(crate) fn new(batch: &RecordBatch, wanted: &Wanted) -> Result<Self> {
        let column = |name: &str| {
            let found = batch.column_by_name(name);
            found.ok_or_else(|| DataFusionError::Internal(format!("events were read without {name}")))
        };
        let text_of = |name: &str| {
            let texts = column(name)?.as_string_view_opt();
            texts.cloned().ok_or_else(|| DataFusionError::Internal(format!("{name} was not read as text views")))
        };
        let if_read = |wants: bool, name: &str| wants.then(|| text_of(name)).transpose();
        let times: &ArrayRef = column("occurred_at")?;
        let revenue = match wanted.revenue {
            true => Some(column("revenue")?.as_primitive::<Decimal128Type>().clone()),
            false => None,
        };
        let ids = match wanted.ids() {
            true => Some(column("event_id")?.as_binary_view().clone()),
            false => None,
        };
        Ok(Self {
            sites: text_of("site_id")?,
            visitors: column("visitor_id")?.as_primitive::<Int64Type>().clone(),
            times_us: times.as_primitive::<TimestampMicrosecondType>().values().clone(),
            bots: bots_of(column("is_bot")?).cloned(),
            session_ids: if_read(wanted.sessions, "session_id")?,
            names: if_read(wanted.names(), "name")?,
            users: if_read(wanted.user_ids(), "user_id")?,
            hostnames: if_read(wanted.engaged, "hostname")?,
            paths: if_read(wanted.engaged, "path")?,
            properties: if_read(wanted.engaged, "properties")?,
            revenue,
            currencies: if_read(wanted.revenue, "currency")?,
            ids,
            texts: wanted.kept_texts().into_iter().map(|(_, name)| text_of(name)).collect::<Result<_>>()?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.times_us.len()
    }

    /// Whether an event is of a robot.
    pub(crate) fn is_bot(&self, row: usize) -> bool {
        self.bots.as_ref().is_some_and(|bots| bots.value(row))
    }

    /// The id of an event; zeros if ids were not read.
    pub(crate) fn id(&self, row: usize) -> Id {
        let mut id = Id::default();
        if let Some(ids) = &self.ids {
            let bytes = ids.value(row);
            let length = bytes.len().min(id.len());
            id[..length].copy_from_slice(&bytes[..length]);
        }
        id
    }
}

/// Which rows are of robots, by the column that says so; none if no row is.
pub(crate) fn bots_of(is_bot: &ArrayRef) -> Option<&BooleanBuffer> {
    Some(is_bot.as_boolean()).filter(|bots| bots.has_true()).map(BooleanArray::values)
}

/// A text of a row, if the column was read and has one there.
pub(crate) fn text_of(texts: Option<&StringViewArray>, row: usize) -> Option<&str> {
    texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
}

/// A short text as a view: equal to the view of every equal text.
///
/// - `text`: at most twelve bytes, which views hold themselves.
pub(crate) fn inline_view(text: &str) -> u128 {
    debug_assert!(text.len() <= 12, "{text} lies outside of its view");
    make_view(text.as_bytes(), 0, 0)
}

/// Shared rows.
pub(crate) type SharedRows = Arc<Rows>;
