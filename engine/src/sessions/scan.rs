//! Reads events and answers a table over sessions: readers make runs of every input side by side, and one task merges
//! them, a visitor at a time.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::HashSet;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::sessions::identities::Stitching;
use crate::sessions::making::builder::{Choice, RunBuilder};
use crate::sessions::making::cuts::{Begun, LongChain, LongChains};
use crate::sessions::making::days::LocalDays;
use crate::sessions::making::finish::{At, AtHand, Finished, RunPlace, sessions_of};
use crate::sessions::making::run::RunBatch;
use crate::sessions::making::window::Window;
use crate::sessions::output::{Body, Chunk, Columns, Day, Kind, Row, User, Visitor};
use crate::sessions::rules::{Rules, SiteRules};
use crate::sessions::source::{Inputs, narrowed};
use crate::sessions::wanted::Wanted;

/// Batches of runs that a reader may be ahead of the merge.
const BATCHES_AHEAD: usize = 2;

/// Rows of a batch of the answer.
const CHUNK_ROWS: usize = 8_192;

/// A chunk is over when it holds so many batches of runs, however few its rows: each keeps memory.
const CHUNK_BATCHES: usize = 512;

/// What a scan reads and answers.
pub(crate) struct Scan {
    pub(crate) columns: Arc<Columns>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) stitching: Arc<Stitching>,
    pub(crate) only_site: Option<Arc<str>>,
    /// The visitors whose rows are wanted, after stitching; all if not given.
    pub(crate) only: Option<Arc<HashSet<i64>>>,
    /// What `inputs` have, if not all events.
    pub(crate) window: Option<Window>,
    /// Plans each of whose partitions is an input: events in the table's order.
    pub(crate) inputs: Inputs,
    /// When all events happened, also those before the window, for visitors whose sessions may have begun before it.
    pub(crate) times: TimesOfEvents,
    pub(crate) context: Arc<TaskContext>,
}

/// What it takes to find out when events of visitors happened.
#[derive(Clone, Default)]
pub(crate) struct TimesOfEvents {
    /// What is read of them.
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) inputs: Inputs,
}

/// Where batches of the answer go.
pub(crate) type Answer = mpsc::Sender<Result<RecordBatch>>;

/// The receiver of the answer is gone: nobody needs more.
struct NobodyListens;

/// A visitor: site and visitor id.
type VisitorKey = (Arc<str>, i64);

/// The rules of the site of the rows that are made.
struct OfSite<'a> {
    site: Arc<str>,
    rules: &'a SiteRules,
    days: LocalDays,
}

/// Runs of visitors whose runs do not lie together, until all of them are there.
#[derive(Default)]
struct Aside {
    batches: Vec<Arc<RunBatch>>,
    of_visitor: BTreeMap<VisitorKey, Vec<RunPlace>>,
}

/// The state of one pass over the inputs.
struct Merge<'a> {
    scan: &'a Scan,
    answer: &'a Answer,
    memory: &'a mut MemoryReservation,
    chunk: Chunk,
    /// Runs in the chunk that are to be put aside when it is over, with their visitors.
    leaving: Vec<(VisitorKey, RunPlace)>,
    aside: Aside,
    round: Round,
    left: Left,
    of_site: Option<OfSite<'a>>,
    /// Counts chunks, so that cursors know when their place in one is void.
    chunk_number: u64,
}

/// An input as far as it was merged.
struct Cursor {
    runs: mpsc::Receiver<Result<RunBatch>>,
    batch: Arc<RunBatch>,
    next: usize,
    /// The site whose runs are merged, among those of `batch`; none if the next run is of another.
    site: Option<u32>,
    /// The number of `batch` in a chunk, and which chunk.
    in_chunk: Option<(u64, u32)>,
}

/// What one pass is about.
#[derive(Clone, Default)]
struct Round {
    /// The visitors, after stitching; all if not given.
    only: Option<Arc<HashSet<i64>>>,
    window: Option<Window>,
    long: Option<Arc<LongChains>>,
    /// What began before the window, if that is known.
    begun: Option<Arc<Begun>>,
}

/// What a pass leaves for others.
#[derive(Default)]
struct Left {
    long: LongChains,
    /// Visitors with a chain that has to be cut where only its events can tell.
    to_cut: HashSet<i64>,
    /// Visitors with a chain that may have begun before the window.
    begun_before: HashSet<i64>,
}

impl Scan {
    /// Answers. Ends early, without an error, when nobody receives the answer.
    pub(crate) async fn run(self, answer: Answer) -> Result<()> {
        let mut memory = MemoryConsumer::new("sessions").register(self.context.memory_pool());
        let round = Round { only: self.only.clone(), window: self.window, ..Round::default() };
        let inputs = match &self.only {
            Some(only) => self.narrow(&self.inputs, only)?,
            None => self.inputs.clone(),
        };
        let Some(begun_before) = self.rounds(&inputs, round, &answer, &mut memory).await? else { return Ok(()) };
        let Some(window) = self.window.filter(|_| !begun_before.is_empty()) else { return Ok(()) };
        let times = self.narrow(&self.times.inputs, &begun_before)?;
        let inputs = self.narrow(&inputs, &begun_before)?;
        let (only, wanted) = (Arc::new(begun_before), &self.times.wanted);
        let begun = Begun::find(&times, wanted, &only, &self.stitching, &self.rules, window, &self.context).await?;
        let round = Round {
            only: Some(only),
            window: self.window,
            long: Some(begun.long.clone()),
            begun: Some(Arc::new(begun)),
        };
        match self.pass(&inputs, round, &answer, &mut memory).await? {
            Some(left) if !left.to_cut.is_empty() => Err(still_too_long()),
            _ => Ok(()),
        }
    }

    /// Answers for the visitors of a round. Returns those whose chains may have begun before its window, or `None` if nobody
    /// listens any more.
    async fn rounds(
        &self,
        inputs: &Inputs,
        round: Round,
        answer: &Answer,
        memory: &mut MemoryReservation,
    ) -> Result<Option<HashSet<i64>>> {
        let Some(mut left) = self.pass(inputs, round.clone(), answer, memory).await? else { return Ok(None) };
        if !left.to_cut.is_empty() {
            // They are rare, so their visitors are read again instead of keeping everybody's events.
            let inputs = self.narrow(inputs, &left.to_cut)?;
            let wanted = Arc::new(self.columns.wanted.clone());
            left.long.find(&inputs, &wanted, &self.stitching, &self.context).await?;
            let (only, long) = (Some(Arc::new(left.to_cut)), Some(Arc::new(left.long)));
            let Some(again) = self.pass(&inputs, Round { only, long, ..round }, answer, memory).await? else {
                return Ok(None);
            };
            if !again.to_cut.is_empty() {
                return Err(still_too_long());
            }
        }
        Ok(Some(left.begun_before))
    }

    /// Inputs that need not have the events of other visitors.
    fn narrow(&self, inputs: &Inputs, visitors: &HashSet<i64>) -> Result<Inputs> {
        narrowed(inputs, &self.stitching.ids_of(visitors), self.context.session_config().options())
    }

    /// One pass over some inputs. Returns what it leaves for another; `None` if nobody listens any more.
    async fn pass(
        &self,
        inputs: &Inputs,
        round: Round,
        answer: &Answer,
        memory: &mut MemoryReservation,
    ) -> Result<Option<Left>> {
        let choice = Choice {
            site: self.only_site.clone(),
            visitors: round.only.as_ref().map(|only| Arc::new(self.stitching.ids_of(only))),
            from_us: round.window.map_or(i64::MIN, |window| window.events_from_us),
        };
        let wanted = Arc::new(self.columns.wanted.clone());
        let mut readers = JoinSet::new();
        let mut receivers = Vec::new();
        for input in inputs {
            for partition in 0..input.output_partitioning().partition_count() {
                let events = input.execute(partition, self.context.clone())?;
                let builder = RunBuilder::new(wanted.clone(), self.rules.clone(), choice.clone(), round.long.clone());
                let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
                readers.spawn(read(events, builder, sender));
                receivers.push(receiver);
            }
        }
        let mut merge = Merge {
            scan: self,
            answer,
            memory,
            chunk: Chunk::default(),
            leaving: vec![],
            aside: Aside::default(),
            round,
            left: Left::default(),
            of_site: None,
            chunk_number: 0,
        };
        match merge.run(receivers).await {
            Ok(()) => {}
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::NobodyListens(NobodyListens)) => return Ok(None),
        }
        let left = merge.left;
        // A reader that panicked closed its channel as if it had been at its end.
        while let Some(ended) = readers.join_next().await {
            ended.map_err(|error| DataFusionError::Internal(format!("a reader of events stopped: {error}")))?;
        }
        Ok(Some(left))
    }
}

fn still_too_long() -> DataFusionError {
    DataFusionError::Internal("a session was cut and is still too long".into())
}

/// Why a merge stops before its end.
enum Stop {
    Error(DataFusionError),
    NobodyListens(NobodyListens),
}

impl<E: Into<DataFusionError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Makes runs of one input until it ends or nobody receives them.
async fn read(mut events: SendableRecordBatchStream, mut builder: RunBuilder, runs: mpsc::Sender<Result<RunBatch>>) {
    while let Some(batch) = events.next().await {
        let made = batch.and_then(|batch| builder.push(&batch));
        let failed = made.is_err();
        if let Some(made) = made.transpose()
            && (runs.send(made).await.is_err() || failed)
        {
            return;
        }
    }
    if let Some(made) = builder.finish().transpose() {
        // Nobody to tell if the merge is gone.
        let _ = runs.send(made).await;
    }
}

impl Cursor {
    /// The cursor at an input's first run; `None` if it has none.
    async fn new(mut runs: mpsc::Receiver<Result<RunBatch>>) -> Result<Option<Self>> {
        let first = runs.recv().await.transpose()?;
        Ok(first.map(|batch| Self { runs, batch: Arc::new(batch), next: 0, site: None, in_chunk: None }))
    }

    /// The site of the next run; `None` at the end of the input.
    fn next_site(&self) -> Option<&Arc<str>> {
        self.batch.runs.get(self.next).map(|run| self.batch.site_of(run))
    }

    /// Begins with the runs of a site. Returns the first visitor; `None` if the next run is of another site.
    fn enter(&mut self, site: &Arc<str>) -> Option<i64> {
        let run = self.batch.runs.get(self.next).filter(|run| self.batch.site_of(run) == site);
        self.site = run.map(|run| run.site);
        run.map(|run| run.visitor)
    }

    /// Goes to the next batch. Returns whether there is one.
    async fn refill(&mut self) -> Result<bool> {
        match self.runs.recv().await.transpose()? {
            Some(batch) => {
                self.batch = Arc::new(batch);
                (self.next, self.in_chunk) = (0, None);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl Merge<'_> {
    /// Merges site by site, so that visitors are compared by their ids alone.
    async fn run(&mut self, receivers: Vec<mpsc::Receiver<Result<RunBatch>>>) -> std::result::Result<(), Stop> {
        let mut cursors = Vec::new();
        for receiver in receivers {
            cursors.extend(Cursor::new(receiver).await?);
        }
        // The next visitor of each input.
        let mut heap: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
        let mut places = Vec::new();
        while let Some(site) = cursors.iter().filter_map(Cursor::next_site).min().cloned() {
            let of_site =
                cursors.iter_mut().enumerate().filter_map(|(number, cursor)| Some((cursor.enter(&site)?, number)));
            heap.extend(of_site.map(Reverse));
            while let Some(Reverse((visitor, number))) = heap.peek() {
                let (visitor, mut number) = (*visitor, *number);
                places.clear();
                loop {
                    let next = self.gather(&mut cursors[number], &site, visitor, &mut places).await?;
                    {
                        let mut first = heap.peek_mut().expect("the input is there");
                        match next {
                            Some(next) => first.0.0 = next,
                            None => drop(PeekMut::pop(first)),
                        }
                    }
                    match heap.peek() {
                        Some(Reverse((same, other))) if *same == visitor => number = *other,
                        _ => break,
                    }
                }
                self.take(&site, visitor, &mut places)?;
                self.flush_if_full().await?;
            }
        }
        self.flush().await?;
        self.finish_aside().await
    }

    /// Gathers the runs of a visitor from one input. Returns the next visitor of the site, if it has one.
    async fn gather(
        &mut self,
        cursor: &mut Cursor,
        site: &Arc<str>,
        visitor: i64,
        places: &mut Vec<RunPlace>,
    ) -> Result<Option<i64>> {
        loop {
            match cursor.batch.runs.get(cursor.next) {
                Some(run) if cursor.site != Some(run.site) => return Ok(None),
                Some(run) if run.visitor != visitor => return Ok(Some(run.visitor)),
                Some(_) => {
                    let batch = match cursor.in_chunk {
                        Some((chunk, batch)) if chunk == self.chunk_number => batch,
                        _ => {
                            let batch = self.chunk.number_of(&cursor.batch);
                            cursor.in_chunk = Some((self.chunk_number, batch));
                            batch
                        }
                    };
                    places.push(RunPlace { batch, run: cursor.next as u32 });
                    cursor.next += 1;
                }
                None => match cursor.refill().await? {
                    true => {
                        cursor.enter(site);
                    }
                    false => return Ok(None),
                },
            }
        }
    }

    /// Takes all runs with one visitor id.
    fn take(&mut self, site: &Arc<str>, visitor: i64, places: &mut [RunPlace]) -> Result<()> {
        let scan = self.scan;
        let stitching = &scan.stitching;
        if !stitching.names(visitor) {
            if self.is_chosen(visitor) {
                self.finish(site, visitor, places);
            }
            return Ok(());
        }
        for place in places {
            let run = &self.chunk.batches[place.batch as usize].runs[place.run as usize];
            let visitor = stitching.visitor_of(visitor, run.known);
            if self.is_chosen(visitor) {
                self.leaving.push(((site.clone(), visitor), *place));
            }
        }
        Ok(())
    }

    fn is_chosen(&self, visitor: i64) -> bool {
        self.round.only.as_ref().is_none_or(|only| only.contains(&visitor))
    }

    /// Answers for a visitor all of whose runs are there.
    fn finish(&mut self, site: &Arc<str>, visitor: i64, places: &mut [RunPlace]) {
        let scan = self.scan;
        let columns = &scan.columns;
        if self.of_site.as_ref().is_none_or(|of| of.site != *site) {
            let rules = scan.rules.of_site(site);
            self.of_site = Some(OfSite { site: site.clone(), rules, days: rules.days() });
        }
        let OfSite { rules, days: days_of_site, .. } = self.of_site.as_mut().expect("it is the one of this site");
        let number = self.chunk.site(site);
        let batches = &self.chunk.batches;
        let mut sessions = vec![];
        if columns.wanted.sessions {
            let at_hand = match (&self.round.begun, self.round.window) {
                (Some(begun), _) => AtHand::Since(begun, visitor),
                (None, Some(window)) => AtHand::Of(window),
                (None, None) => AtHand::All,
            };
            match sessions_of(places, batches, rules, &columns.wanted, at_hand) {
                Finished::Sessions(finished) => sessions = finished,
                Finished::TooLong(long) => {
                    let run_of = |place: &RunPlace| &batches[place.batch as usize].runs[place.run as usize];
                    let ids: HashSet<i64> = places.iter().map(|place| run_of(place).visitor).collect();
                    for part in long {
                        let times = (part.start_us, part.end_us);
                        self.left.long.add(LongChain::new(visitor, part.session_id, times, rules.cap_us), &ids);
                    }
                    self.left.to_cut.insert(visitor);
                    return;
                }
                Finished::BegunBefore => {
                    self.left.begun_before.insert(visitor);
                    return;
                }
            }
        }
        if let Some(window) = self.scan.window {
            sessions.retain(|session| session.first.moment.at_us >= window.sessions_from_us);
        }
        let user = match columns.user_of(places, batches) {
            User::Unknown => scan.stitching.user_id(visitor).map_or(User::Unknown, |name| User::Named(name.clone())),
            known => known,
        };
        let run_of = |place: &RunPlace| &batches[place.batch as usize].runs[place.run as usize];
        let rows = &mut self.chunk.rows;
        let row = |body: Body| Row { site: number, visitor, user: user.clone(), body };
        match columns.kind {
            Kind::Sessions => rows.extend(sessions.into_iter().map(|session| {
                let day = days_of_site.day_of(session.first.moment.at_us);
                row(Body::Session(Box::new(session), day))
            })),
            Kind::VisitorDays => {
                let mut days: Vec<Day> = places
                    .iter()
                    .map(run_of)
                    .map(|run| Day { day: run.day, events: run.events, page_views: run.page_views, ..Day::default() })
                    .chain(sessions.iter().map(|session| Day {
                        day: days_of_site.day_of(session.first.moment.at_us),
                        sessions: 1,
                        engaged_s: session.engaged_s,
                        ..Day::default()
                    }))
                    .collect();
                days.sort_unstable_by_key(|day| day.day);
                let parts = days.chunk_by(|one, next| one.day == next.day).enumerate();
                rows.extend(parts.map(|(number, parts)| {
                    let mut day = Day { is_new: number == 0, day: parts[0].day, ..Day::default() };
                    for part in parts {
                        day.events += part.events;
                        day.page_views += part.page_views;
                        day.sessions += part.sessions;
                        day.engaged_s += part.engaged_s;
                    }
                    row(Body::Day(day))
                }));
            }
            Kind::Visitors => {
                let at = |place: &RunPlace, moment| At { moment, place: *place };
                let first = places.iter().map(|place| at(place, run_of(place).first)).min_by_key(|at| at.moment);
                let entries = places.iter().filter_map(|place| run_of(place).entry.map(|entry| at(place, entry)));
                let visitor = Visitor {
                    first: first.expect("a visitor has runs"),
                    end_us: places.iter().map(|place| run_of(place).end_us).max().expect("a visitor has runs"),
                    events: places.iter().map(|place| run_of(place).events).sum(),
                    page_views: places.iter().map(|place| run_of(place).page_views).sum(),
                    sessions: sessions.len() as u64,
                    entry: entries.min_by_key(|at| at.moment),
                };
                rows.push(row(Body::Visitor(Box::new(visitor))));
            }
        }
    }

    async fn flush_if_full(&mut self) -> std::result::Result<(), Stop> {
        let is_full = self.chunk.rows.len() >= CHUNK_ROWS
            || self.leaving.len() >= CHUNK_ROWS
            || self.chunk.batches.len() >= CHUNK_BATCHES;
        if is_full { self.flush().await } else { Ok(()) }
    }

    /// Answers the rows of the chunk, puts aside what is left of its runs, and begins another.
    async fn flush(&mut self) -> std::result::Result<(), Stop> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk_number += 1;
        if !chunk.rows.is_empty() {
            let batch = chunk.to_batch(&self.scan.columns)?;
            self.answer.send(Ok(batch)).await.map_err(|_| Stop::NobodyListens(NobodyListens))?;
        }
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.sort_by_key(|(_, place)| place.batch);
        for of_batch in leaving.chunk_by(|one, next| one.1.batch == next.1.batch) {
            let runs: Vec<u32> = of_batch.iter().map(|(_, place)| place.run).collect();
            let chosen = chunk.batches[of_batch[0].1.batch as usize].select(&runs)?;
            self.memory.try_grow(chosen.bytes())?;
            let batch = self.aside.batches.len() as u32;
            self.aside.batches.push(Arc::new(chosen));
            for (run, (key, _)) in of_batch.iter().enumerate() {
                let places = self.aside.of_visitor.entry(key.clone()).or_default();
                places.push(RunPlace { batch, run: run as u32 });
            }
        }
        Ok(())
    }

    /// Answers for the visitors whose runs were put aside.
    async fn finish_aside(&mut self) -> std::result::Result<(), Stop> {
        let Aside { batches, of_visitor } = std::mem::take(&mut self.aside);
        for (key, mut places) in of_visitor {
            for place in &mut places {
                place.batch = self.chunk.number_of(&batches[place.batch as usize]);
            }
            self.finish(&key.0, key.1, &mut places);
            self.flush_if_full().await?;
        }
        self.flush().await
    }
}
