//! Makes runs of the events of one input, in one pass without a sort.

use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, StringViewArray};
use datafusion::arrow::compute::interleave;
use datafusion::common::HashSet;
use datafusion::error::{DataFusionError, Result};

use crate::sessions::making::cuts::LongChains;
use crate::sessions::making::days::{LocalDays, SECOND_US};
use crate::sessions::making::page_view::PageViews;
use crate::sessions::making::run::{Moment, Money, Ping, Run, RunBatch};
use crate::sessions::rows::{Rows, SharedRows, inline_view, text_of};
use crate::sessions::rules::Rules;
use crate::sessions::wanted::{Place, SESSION_ID, Wanted};

/// Seconds between two pings of a page view, by which pings are counted.
const PING_SLOT_US: i64 = 10 * SECOND_US;

/// Pings of an open run are made distinct each time that they became this many more.
const PINGS_MAX: usize = 4_096;

/// Which events of an input are of interest.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// The only site.
    pub(crate) site: Option<Arc<str>>,
    /// The only visitor ids.
    pub(crate) visitors: Option<Arc<HashSet<i64>>>,
    /// The first instant.
    pub(crate) from_us: i64,
}

/// A row of an input that is still in memory.
#[derive(Clone, Copy, Debug)]
struct RowPlace {
    rows: u32,
    row: u32,
}

/// A run that may go on.
struct Open {
    known: bool,
    first: RowPlace,
    start_us: i64,
    end_us: i64,
    day: i32,
    /// The first instant that does not belong to it, whatever the gap.
    breaks_us: i64,
    events: u64,
    page_views: u64,
    entry: Option<(i64, RowPlace)>,
    exit: Option<(i64, RowPlace)>,
    signed_in: Option<RowPlace>,
    pings: Vec<Ping>,
    pings_sorted: usize,
    revenue: Vec<Money>,
}

/// Where the texts of a run are.
struct TextPlaces {
    first: RowPlace,
    entry: Option<RowPlace>,
    exit: Option<RowPlace>,
    signed_in: Option<RowPlace>,
}

/// Makes runs of events that come in the order of site, visitor and time, nulls first.
pub(crate) struct RunBuilder {
    wanted: Arc<Wanted>,
    rules: Arc<Rules>,
    choice: Choice,
    long: Option<Arc<LongChains>>,
    /// The rows that open and closed runs are in.
    rows: Vec<SharedRows>,
    sites: Vec<Arc<str>>,
    skips_site: bool,
    gap_us: i64,
    cap_us: i64,
    days: LocalDays,
    visitor: Option<i64>,
    last_us: i64,
    open: Vec<Open>,
    /// Runs that are over, and where the texts of each are.
    closed: Vec<Run>,
    closed_texts: Vec<TextPlaces>,
    pings: Vec<Ping>,
    revenue: Vec<Money>,
    page_views: PageViews,
}

impl RunBuilder {
    /// - `long`: runs end where these are cut.
    pub(crate) fn new(wanted: Arc<Wanted>, rules: Arc<Rules>, choice: Choice, long: Option<Arc<LongChains>>) -> Self {
        Self {
            wanted,
            rules,
            choice,
            long,
            rows: vec![],
            sites: vec![],
            skips_site: true,
            gap_us: 0,
            cap_us: 0,
            days: LocalDays::new(None),
            visitor: None,
            last_us: i64::MIN,
            open: vec![],
            closed: vec![],
            closed_texts: vec![],
            pings: vec![],
            revenue: vec![],
            page_views: PageViews::default(),
        }
    }

    /// Takes the next events. Returns the runs that are over, if there are any.
    ///
    /// Fails if the events do not follow those before in the table's order, which every file has to have.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<Option<RunBatch>> {
        let rows = Arc::new(Rows::new(batch, &self.wanted)?);
        self.rows.push(rows.clone());
        let (sites, visitors) = (rows.sites.views(), rows.visitors.values());
        let mut begin = 0;
        let mut site_seen = None;
        while begin < rows.len() {
            let (site, visitor) = (sites[begin], visitors[begin]);
            let is_visitor = rows.visitors.is_valid(begin);
            if site_seen != Some(site) {
                self.enter_site(rows.sites.value(begin))?;
                site_seen = Some(site);
            }
            let mut end = begin + 1;
            while end < rows.len()
                && visitors[end] == visitor
                && sites[end] == site
                && rows.visitors.is_valid(end) == is_visitor
            {
                end += 1;
            }
            let is_chosen = || self.choice.visitors.as_ref().is_none_or(|only| only.contains(&visitor));
            if is_visitor && !self.skips_site && is_chosen() {
                self.enter_visitor(visitor)?;
                self.visit(&rows, begin, end)?;
            }
            begin = end;
        }
        self.take_closed()
    }

    /// Returns the runs that are left.
    pub(crate) fn finish(mut self) -> Result<Option<RunBatch>> {
        self.close_all();
        self.take_closed()
    }

    fn enter_site(&mut self, site: &str) -> Result<()> {
        match self.sites.last() {
            Some(last) if **last == *site => return Ok(()),
            Some(last) if **last > *site => return Err(disorder(site)),
            _ => {}
        }
        self.close_all();
        self.visitor = None;
        self.sites.push(site.into());
        self.skips_site = self.choice.site.as_deref().is_some_and(|only| only != site);
        let rules = self.rules.of_site(site);
        self.days = rules.days();
        self.cap_us = rules.cap_us;
        self.gap_us = if self.wanted.sessions { rules.gap_us } else { i64::MAX };
        Ok(())
    }

    fn enter_visitor(&mut self, visitor: i64) -> Result<()> {
        match self.visitor {
            Some(last) if last == visitor => return Ok(()),
            Some(last) if last > visitor => return Err(disorder(&visitor.to_string())),
            _ => {}
        }
        self.close_all();
        self.visitor = Some(visitor);
        self.last_us = i64::MIN;
        Ok(())
    }

    /// Takes events of the current visitor.
    fn visit(&mut self, rows: &Rows, begin: usize, end: usize) -> Result<()> {
        let (page_view, ping) = (inline_view("page_view"), inline_view("page_ping"));
        let number = self.rows.len() as u32 - 1;
        // The session id of the event before as a view, and its run: nearly always the next event's too.
        let mut before: Option<(Option<u128>, bool, usize)> = None;
        for row in begin..end {
            if rows.is_bot(row) {
                continue;
            }
            let at_us = rows.times_us[row];
            if at_us < self.last_us {
                return Err(disorder(&at_us.to_string()));
            }
            self.last_us = at_us;
            if at_us < self.choice.from_us {
                continue;
            }
            let session_ids = rows.session_ids.as_ref().filter(|ids| ids.is_valid(row));
            let session_view = session_ids.map(|ids| ids.views()[row]);
            let known = !self.wanted.users || text_of(rows.users.as_ref(), row).is_some();
            let day = if self.wanted.days { self.days.day_of(at_us) } else { 0 };
            let found = match before {
                Some((view, was_known, open)) if view == session_view && was_known == known => Some(open),
                _ => self.find(session_ids.map(|ids| ids.value(row)), known),
            };
            let goes_on = found.filter(|open| {
                let open = &self.open[*open];
                at_us.saturating_sub(open.end_us) <= self.gap_us && at_us < open.breaks_us && day == open.day
            });
            let place = RowPlace { rows: number, row: row as u32 };
            let open = match (goes_on, found) {
                (Some(open), _) => open,
                (None, found) => {
                    let next = self.begin(place, at_us, day, known, session_ids.map(|ids| ids.value(row)));
                    match found {
                        Some(over) => {
                            let over_run = std::mem::replace(&mut self.open[over], next);
                            self.close(over_run);
                            over
                        }
                        None => {
                            self.close_those_over(at_us);
                            self.open.push(next);
                            self.open.len() - 1
                        }
                    }
                }
            };
            before = Some((session_view, known, open));
            let open = &mut self.open[open];
            open.end_us = at_us;
            if at_us == open.start_us && rows.id(row) < id_at(&self.rows, open.first) {
                open.first = place;
            }
            if open.signed_in.is_none() && text_of(rows.users.as_ref(), row).is_some() {
                open.signed_in = Some(place);
            }
            let Some(names) = &rows.names else {
                take_money(rows, row, open);
                continue;
            };
            let name = names.views()[row];
            if name == ping {
                if self.wanted.engaged {
                    let properties = text_of(rows.properties.as_ref(), row);
                    let (hostname, path) = (text_of(rows.hostnames.as_ref(), row), text_of(rows.paths.as_ref(), row));
                    let view = self.page_views.of_ping(properties, hostname, path);
                    open.push_ping((view, at_us.div_euclid(PING_SLOT_US)));
                }
            } else {
                open.events += 1;
            }
            if name == page_view {
                open.page_views += 1;
                if open
                    .entry
                    .is_none_or(|(entry_us, entry)| entry_us == at_us && rows.id(row) < id_at(&self.rows, entry))
                {
                    open.entry = Some((at_us, place));
                }
                if open.exit.is_none_or(|(exit_us, exit)| exit_us < at_us || rows.id(row) >= id_at(&self.rows, exit)) {
                    open.exit = Some((at_us, place));
                }
            }
            take_money(rows, row, open);
        }
        Ok(())
    }

    /// The open run of a session id.
    fn find(&self, session_id: Option<&str>, known: bool) -> Option<usize> {
        self.open.iter().position(|open| {
            let rows = &self.rows[open.first.rows as usize];
            open.known == known && text_of(rows.session_ids.as_ref(), open.first.row as usize) == session_id
        })
    }

    fn begin(&self, first: RowPlace, at_us: i64, day: i32, known: bool, session_id: Option<&str>) -> Open {
        Open {
            known,
            first,
            start_us: at_us,
            end_us: at_us,
            day,
            breaks_us: self.next_cut_us(session_id, at_us),
            events: 0,
            page_views: 0,
            entry: None,
            exit: None,
            signed_in: None,
            pings: vec![],
            pings_sorted: 0,
            revenue: vec![],
        }
    }

    /// Where the chain that has an event at `at_us` is cut next.
    fn next_cut_us(&self, session_id: Option<&str>, at_us: i64) -> i64 {
        let chains = self.long.as_ref().zip(self.visitor);
        chains.map_or(i64::MAX, |(chains, visitor)| chains.next_cut_us(visitor, session_id, at_us))
    }

    /// Closes runs that no later event of the visitor belongs to, so that few are searched.
    fn close_those_over(&mut self, at_us: i64) {
        if self.open.is_empty() {
            return;
        }
        let gap_us = self.gap_us;
        let (open, over) =
            std::mem::take(&mut self.open).into_iter().partition(|open| at_us.saturating_sub(open.end_us) <= gap_us);
        self.open = open;
        let over: Vec<Open> = over;
        over.into_iter().for_each(|open| self.close(open));
    }

    fn close_all(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        open.drain(..).for_each(|open| self.close(open));
        // With the room that it has.
        self.open = open;
    }

    fn close(&mut self, mut open: Open) {
        let moment = |(at_us, place): (i64, RowPlace)| Moment { at_us, id: id_at(&self.rows, place) };
        let first = moment((open.start_us, open.first));
        let (entry, exit) = (open.entry.map(moment), open.exit.map(moment));
        let (pings, revenue) = (self.pings.len() as u32, self.revenue.len() as u32);
        open.pings.sort_unstable();
        open.pings.dedup();
        self.pings.append(&mut open.pings);
        self.revenue.append(&mut open.revenue);
        self.closed.push(Run {
            site: self.sites.len() as u32 - 1,
            visitor: self.visitor.expect("a run has a visitor"),
            known: open.known,
            first,
            end_us: open.end_us,
            day: open.day,
            events: open.events,
            page_views: open.page_views,
            entry,
            exit,
            pings: pings..self.pings.len() as u32,
            revenue: revenue..self.revenue.len() as u32,
        });
        let place = |(_, place)| place;
        self.closed_texts.push(TextPlaces {
            first: open.first,
            entry: open.entry.map(place),
            exit: open.exit.map(place),
            signed_in: open.signed_in,
        });
    }

    /// The runs that are over, with their texts. Lets go of rows that no open run is in.
    fn take_closed(&mut self) -> Result<Option<RunBatch>> {
        let runs = std::mem::take(&mut self.closed);
        let closed = std::mem::take(&mut self.closed_texts);
        let none: StringViewArray = StringViewArray::new_null(1);
        let mut texts = Vec::new();
        for (number, (place, _)) in self.wanted.kept_texts().into_iter().enumerate() {
            if closed.is_empty() {
                break;
            }
            // Many columns have no text at all.
            if self.rows.iter().all(|rows| rows.texts[number].null_count() == rows.len()) {
                texts.push(StringViewArray::new_null(closed.len()));
                continue;
            }
            let columns = self.rows.iter().map(|rows| &rows.texts[number] as &dyn Array);
            let columns: Vec<&dyn Array> = columns.chain([&none as &dyn Array]).collect();
            let places: Vec<(usize, usize)> = closed
                .iter()
                .map(|closed| {
                    let place = match place {
                        Place::First => Some(closed.first),
                        Place::Entry => closed.entry,
                        Place::Exit => closed.exit,
                        Place::SignedIn => closed.signed_in,
                    };
                    place.map_or((columns.len() - 1, 0), |place| (place.rows as usize, place.row as usize))
                })
                .collect();
            let kept = interleave(&columns, &places)?;
            texts.push(kept.as_any().downcast_ref::<StringViewArray>().expect("texts stay texts").clone());
        }
        self.let_go();
        if closed.is_empty() {
            return Ok(None);
        }
        let current = self.sites.last().cloned();
        Ok(Some(RunBatch {
            sites: std::mem::replace(&mut self.sites, current.into_iter().collect()),
            runs,
            texts,
            pings: std::mem::take(&mut self.pings),
            revenue: std::mem::take(&mut self.revenue),
        }))
    }

    fn let_go(&mut self) {
        let mut kept: Vec<SharedRows> = Vec::new();
        let mut renumbered: Vec<Option<u32>> = vec![None; self.rows.len()];
        for open in &mut self.open {
            let views = [&mut open.entry, &mut open.exit].into_iter().flatten().map(|(_, place)| place);
            for place in views.chain([&mut open.first]).chain(&mut open.signed_in) {
                let number = renumbered[place.rows as usize].get_or_insert_with(|| {
                    kept.push(self.rows[place.rows as usize].clone());
                    kept.len() as u32 - 1
                });
                place.rows = *number;
            }
        }
        self.rows = kept;
    }
}

impl Open {
    fn push_ping(&mut self, ping: Ping) {
        if self.pings.last() == Some(&ping) {
            return;
        }
        self.pings.push(ping);
        if self.pings.len() > self.pings_sorted + PINGS_MAX {
            self.pings.sort_unstable();
            self.pings.dedup();
            self.pings_sorted = self.pings.len();
        }
    }
}

/// Adds the money of an event to its run.
fn take_money(rows: &Rows, row: usize, open: &mut Open) {
    let Some(amounts) = rows.revenue.as_ref().filter(|amounts| amounts.is_valid(row)) else { return };
    let currency = text_of(rows.currencies.as_ref(), row);
    add_money(&mut open.revenue, currency, amounts.value(row));
}

/// Adds an amount to the sum of its currency.
pub(crate) fn add_money(sums: &mut Vec<Money>, currency: Option<&str>, amount: i128) {
    match sums.iter_mut().find(|(known, _)| known.as_deref() == currency) {
        Some((_, sum)) => *sum += amount,
        None => sums.push((currency.map(Into::into), amount)),
    }
}

fn id_at(rows: &[SharedRows], place: RowPlace) -> [u8; 16] {
    rows[place.rows as usize].id(place.row as usize)
}

fn disorder(what: &str) -> DataFusionError {
    DataFusionError::Internal(format!("{what} is out of the table's order"))
}

/// The text of a run's session id, if sessions are told apart and the client sent one.
pub(crate) fn session_id<'a>(batch: &'a RunBatch, wanted: &Wanted, run: u32) -> Option<&'a str> {
    if wanted.sessions { batch.text(SESSION_ID, run) } else { None }
}
