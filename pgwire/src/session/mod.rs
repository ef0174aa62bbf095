//! A client's session: one statement after the other, by the simple and the extended protocol.

mod portal;
mod prepared;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::Share;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::portal::{Portal, State};
use self::prepared::Prepared;
use crate::admission::keys::{Access, Keys};
use crate::cancellation::CancelKey;
use crate::failure::{Failure, advice, report};
use crate::format::parameters;
use crate::format::types::{TEXT, ValueType};
use crate::messages::{Bind, ColumnHeader, Format, Report, Request, Target, Transaction};
use crate::reader::Reader;
use crate::settings::{self, Change};
use crate::statement::{Kind, Statement, split};
use crate::wire::{Ended, Stream, Wire};

/// Prepared statements of a session at most, and how much memory they take together.
const STATEMENTS_MAX: usize = 1_000;
const STATEMENT_BYTES_MAX: usize = 8 << 20;

/// Cursors and portals of a session at most.
const PORTALS_MAX: usize = 16;

/// How long a client may take to hear why its session ends.
const FAREWELL_MAY_TAKE: Duration = Duration::from_secs(2);

/// Who a client is.
pub(crate) struct Client {
    pub(crate) user: String,
    pub(crate) access: Access,
    /// How long its statements may take, if it said so when it came.
    pub(crate) timeout: Option<Duration>,
}

/// What all sessions share.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) reader: Arc<Reader>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) shutdown: CancellationToken,
}

/// A client's session.
pub(crate) struct Session {
    wire: Wire<Box<dyn Stream>>,
    services: Services,
    client: Client,
    /// What the client may take, if it came with a key.
    share: Option<Arc<Share>>,
    cancel: CancelKey,
    /// Cancelled when the client wants the present request to end.
    running: CancellationToken,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    transaction: Transaction,
    /// Whether a message of the extended protocol failed: the others up to the next Sync are left out.
    is_skipping: bool,
}

type Outcome<T = ()> = Result<T, Failure>;

impl Session {
    pub(crate) fn new(wire: Wire<Box<dyn Stream>>, services: Services, client: Client, cancel: CancelKey) -> Self {
        let share = services.reader.share_of(&client.user, &client.access);
        Self {
            wire,
            services,
            client,
            share,
            cancel,
            running: CancellationToken::new(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::None,
            is_skipping: false,
        }
    }

    /// Serves the client until it goes, or the server does.
    pub(crate) async fn serve(mut self) {
        let shutdown = self.services.shutdown.clone();
        let farewell = loop {
            let expiry = self.next_expiry();
            let request = tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    break Some(report("57P01", "the server is shutting down"));
                }
                request = self.wire.request() => request,
                () = until(expiry) => {
                    self.expire_portals();
                    continue;
                }
            };
            let outcome = match request {
                Ok(Request::Terminate) | Err(Ended::Gone) => break None,
                Ok(request) => {
                    self.running = self.cancel.begin();
                    let outcome = self.answer(request).await;
                    self.cancel.end();
                    outcome
                }
                Err(Ended::Malformed(malformed)) => break Some(report("08P01", malformed.to_string())),
            };
            match outcome {
                Ok(()) => {}
                Err(Failure::Gone) => break None,
                Err(Failure::Fatal(report)) => break Some(report),
                // `answer` told the client.
                Err(Failure::Told(_)) => {}
            }
        };
        self.portals.clear();
        if let Some(report) = farewell {
            self.wire.answers().error("FATAL", &report);
            let _ = tokio::time::timeout(FAREWELL_MAY_TAKE, self.wire.flush()).await;
        }
        let _ = tokio::time::timeout(FAREWELL_MAY_TAKE, self.wire.close()).await;
    }

    async fn answer(&mut self, request: Request) -> Outcome {
        match request {
            Request::Query(text) => {
                self.is_skipping = false;
                if let Err(failure) = self.simple(&text).await {
                    self.tell(failure)?;
                }
                self.end_of_statement();
                self.ready().await
            }
            Request::Sync => {
                self.is_skipping = false;
                self.end_of_statement();
                self.ready().await
            }
            Request::Flush => self.flush().await,
            _ if self.is_skipping => Ok(()),
            request => {
                if let Err(failure) = self.extended(request).await {
                    self.is_skipping = true;
                    self.tell(failure)?;
                }
                Ok(())
            }
        }
    }

    /// Tells the client why its statement failed. The session goes on, unless the failure is one of the session.
    fn tell(&mut self, failure: Failure) -> Outcome {
        let Failure::Told(report) = failure else { return Err(failure) };
        self.wire.answers().error("ERROR", &report);
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        Ok(())
    }

    /// Outside a transaction each statement is one, and its cursors end with it.
    fn end_of_statement(&mut self) {
        if self.transaction == Transaction::None {
            self.portals.clear();
        }
    }

    async fn ready(&mut self) -> Outcome {
        let transaction = self.transaction;
        self.wire.answers().ready(transaction);
        self.flush().await
    }

    /// Sends what is written, to a client that may be slow, but not for ever.
    async fn flush(&mut self) -> Outcome {
        let limit = self.services.reader.limits().timeout;
        match tokio::time::timeout(limit, self.wire.flush()).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Failure::Gone),
        }
    }

    async fn simple(&mut self, text: &str) -> Outcome {
        let statements = split(text);
        if statements.is_empty() {
            self.wire.answers().empty_query();
        }
        for statement in statements {
            let prepared = Arc::new(self.prepare(statement, &[]).await?);
            let columns = self.columns_of(&prepared, &[])?;
            if let Some(columns) = columns {
                self.wire.answers().columns(&columns);
            }
            let mut portal = Portal::new(prepared, vec![], vec![]);
            self.execute(&mut portal, 0).await?;
        }
        Ok(())
    }

    async fn extended(&mut self, request: Request) -> Outcome {
        match request {
            Request::Parse { statement, sql, types } => {
                let mut found = split(&sql);
                if found.len() > 1 {
                    return Err(report(
                        "42601",
                        "a prepared statement is one statement: send the others by themselves",
                    )
                    .into());
                }
                let given: Vec<Option<ValueType>> = types.into_iter().map(ValueType::of_oid).collect();
                self.statements.remove(&statement);
                let prepared = match found.pop() {
                    None => Prepared::Empty,
                    Some(found) => self.prepare(found, &given).await?,
                };
                self.keep(statement, prepared)?;
                self.wire.answers().parsed();
            }
            Request::Bind(bind) => {
                self.bind(bind)?;
                self.wire.answers().bound();
            }
            Request::Describe(Target::Statement(name)) => {
                let prepared = self.statement(&name)?;
                let oids: Vec<u32> = prepared.parameters().iter().map(|of| of.oid()).collect();
                self.wire.answers().parameters(&oids);
                self.describe(&prepared, &[])?;
            }
            Request::Describe(Target::Portal(name)) => {
                let portal = self.portals.get(&name).ok_or_else(|| no_portal(&name))?;
                let (prepared, formats) = (portal.prepared.clone(), portal.formats.clone());
                self.describe(&prepared, &formats)?;
            }
            Request::Execute { portal: name, rows_max } => {
                let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
                self.execute(&mut portal, rows_max).await?;
                // COMMIT closes all portals, its own among them.
                if self.portals.len() < PORTALS_MAX {
                    self.portals.insert(name, portal);
                }
            }
            Request::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.statements.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                self.wire.answers().closed();
            }
            Request::Password(_) => return Err(Failure::Fatal(report("08P01", "nobody asked for a password"))),
            // Rows for a COPY that was refused: clients send them before they hear of it.
            Request::CopyIn => {}
            Request::Query(_) | Request::Sync | Request::Flush | Request::Terminate => {}
        }
        Ok(())
    }

    /// Plans a statement, if it is a query.
    async fn prepare(&mut self, statement: Statement, given: &[Option<ValueType>]) -> Outcome<Prepared> {
        let Statement { kind, before } = statement;
        self.check_transaction(&kind)?;
        self.check_key().await?;
        let (sql, make): (String, Box<dyn FnOnce(_) -> Prepared + Send>) = match kind {
            Kind::Query(sql) => (sql, Box::new(Prepared::Query)),
            Kind::Copy { sql, form } => (sql, Box::new(|query| Prepared::Copy(query, form))),
            Kind::Declare { cursor, sql } => {
                (sql, Box::new(|query| Prepared::Declare(cursor, Arc::new(Prepared::Query(query)))))
            }
            Kind::Refused(report) => return Err(report.into()),
            kind => return Ok(Prepared::Command(kind)),
        };
        let (reader, given) = (self.services.reader.clone(), given.to_vec());
        let planning = async move { reader.prepare(&sql, before, &given).await };
        Ok(make(self.unless_cancelled(planning).await?))
    }

    /// In a transaction that has failed, nothing is done but to end it.
    fn check_transaction(&self, kind: &Kind) -> Outcome {
        match (self.transaction, kind) {
            (Transaction::None | Transaction::Open, _) => Ok(()),
            (Transaction::Failed, Kind::Commit | Kind::Rollback | Kind::RollbackTo) => Ok(()),
            (Transaction::Failed, _) => {
                Err(report("25P02", "the transaction has failed: nothing is done until it ends by ROLLBACK").into())
            }
        }
    }

    /// Ends the session of a key that was revoked.
    async fn check_key(&mut self) -> Outcome {
        match self.services.keys.still_opens(&self.client.user, &self.client.access).await {
            Ok(false) => Err(Failure::Fatal(report("28000", "the key was revoked"))),
            // What cannot be read cannot be queried either.
            Ok(true) | Err(_) => Ok(()),
        }
    }

    fn keep(&mut self, name: String, prepared: Prepared) -> Outcome {
        let bytes: usize = self.statements.values().map(|kept| kept.bytes()).sum();
        if self.statements.len() >= STATEMENTS_MAX || bytes + prepared.bytes() > STATEMENT_BYTES_MAX {
            return Err(advice(
                "53200",
                format!("a session keeps at most {STATEMENTS_MAX} prepared statements, and {STATEMENT_BYTES_MAX} bytes of them"),
                "Close those that are not needed any more, or DEALLOCATE ALL.",
            )
            .into());
        }
        self.statements.insert(name, Arc::new(prepared));
        Ok(())
    }

    fn statement(&self, name: &str) -> Outcome<Arc<Prepared>> {
        let unknown = || report("26000", format!("there is no prepared statement {name:?}"));
        Ok(self.statements.get(name).cloned().ok_or_else(unknown)?)
    }

    fn bind(&mut self, bind: Bind) -> Outcome {
        let prepared = self.statement(&bind.statement)?;
        let types = prepared.parameters();
        if bind.values.len() != types.len() {
            let message =
                format!("the statement has {} parameters, and {} values were given", types.len(), bind.values.len());
            return Err(report("08P01", message).into());
        }
        let mut values = Vec::with_capacity(types.len());
        for (place, (value, of)) in bind.values.iter().zip(types).enumerate() {
            let format = crate::messages::format_of(&bind.formats, place);
            let format = format.ok_or_else(|| report("08P01", "each parameter has a format, or all have one"))?;
            let value = parameters::read(value.as_ref(), format, *of);
            values.push(value.map_err(|why| report("22P02", format!("the value of ${}: {why}", place + 1)))?);
        }
        if let Some(columns) = self.columns_of(&prepared, &[])?
            && bind.result_formats.len() > 1
            && bind.result_formats.len() != columns.len()
        {
            return Err(report("08P01", "each column has a format, or all have one").into());
        }
        self.portals.remove(&bind.portal);
        self.add_portal(bind.portal, Portal::new(prepared, values, bind.result_formats))
    }

    fn add_portal(&mut self, name: String, portal: Portal) -> Outcome {
        if self.portals.len() >= PORTALS_MAX {
            let message = format!("a session has at most {PORTALS_MAX} cursors and portals at a time");
            return Err(advice("53000", message, "Close those that are read.").into());
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    fn describe(&mut self, prepared: &Prepared, formats: &[Format]) -> Outcome {
        match self.columns_of(prepared, formats)? {
            Some(columns) => self.wire.answers().columns(&columns),
            None => self.wire.answers().no_rows(),
        }
        Ok(())
    }

    /// The columns of a statement's rows, if it has rows.
    fn columns_of(&self, prepared: &Prepared, formats: &[Format]) -> Outcome<Option<Vec<ColumnHeader>>> {
        Ok(match prepared {
            Prepared::Command(Kind::Fetch { cursor, .. }) => {
                let portal = self.portals.get(cursor).ok_or_else(|| no_cursor(cursor))?;
                portal.prepared.columns(formats)
            }
            prepared => prepared.columns(formats),
        })
    }

    /// Runs a statement, or the next part of it, and sends its rows.
    ///
    /// - `rows_max`: how many rows the client wants now; 0 is all.
    async fn execute(&mut self, portal: &mut Portal, rows_max: usize) -> Outcome {
        let prepared = portal.prepared.clone();
        match &*prepared {
            Prepared::Command(kind) => self.check_transaction(kind)?,
            _ => self.check_transaction(&Kind::Tolerated(""))?,
        }
        match &*prepared {
            Prepared::Empty => self.wire.answers().empty_query(),
            Prepared::Query(_) => {
                let sent = self.rows(portal, rows_max).await?;
                match &portal.state {
                    State::Running(_) => self.wire.answers().suspended(),
                    _ => self.wire.answers().done(&format!("SELECT {sent}")),
                }
            }
            Prepared::Copy(query, form) => {
                self.wire.answers().copy_out(query.schema.fields().len());
                if form.header {
                    let names = query.schema.fields().iter().map(|field| &**field.name());
                    let _ = self.wire.answers().copy_data(|out| {
                        form.put_header(names, out);
                        Ok::<(), Failure>(())
                    });
                }
                let sent = self.rows(portal, 0).await?;
                self.wire.answers().copy_done();
                self.wire.answers().done(&format!("COPY {sent}"));
            }
            Prepared::Declare(cursor, query) => {
                if self.transaction == Transaction::None {
                    return Err(advice("25P01", "a cursor lives as long as a transaction", "BEGIN one first.").into());
                }
                if self.portals.contains_key(cursor) {
                    return Err(report("42P03", format!("there is a cursor {cursor:?} already")).into());
                }
                let values = std::mem::take(&mut portal.values);
                self.add_portal(cursor.clone(), Portal::new(query.clone(), values, vec![]))?;
                self.wire.answers().done("DECLARE CURSOR");
            }
            Prepared::Command(Kind::Fetch { cursor, rows }) => {
                let mut fetched = self.portals.remove(cursor).ok_or_else(|| no_cursor(cursor))?;
                fetched.formats = portal.formats.clone();
                let sent = match rows {
                    Some(0) => Ok(0),
                    rows => self.rows(&mut fetched, rows.unwrap_or(0)).await,
                };
                self.portals.insert(cursor.clone(), fetched);
                let sent = sent?;
                self.wire.answers().done(&format!("FETCH {sent}"));
            }
            Prepared::Command(kind) => self.command(kind)?,
        }
        Ok(())
    }

    fn command(&mut self, kind: &Kind) -> Outcome {
        let tag = match kind {
            Kind::Begin => {
                self.transaction = Transaction::Open;
                "BEGIN"
            }
            Kind::Commit | Kind::Rollback => {
                // What has failed cannot be committed, and the client is told so.
                let tag = match (kind, self.transaction) {
                    (Kind::Commit, Transaction::Open | Transaction::None) => "COMMIT",
                    _ => "ROLLBACK",
                };
                self.transaction = Transaction::None;
                self.portals.clear();
                tag
            }
            Kind::RollbackTo => {
                if self.transaction == Transaction::Failed {
                    self.transaction = Transaction::Open;
                }
                "ROLLBACK"
            }
            Kind::Tolerated(tag) => tag,
            Kind::Set { name, value } => {
                match settings::change(name, value) {
                    Ok(Change::Nothing) => {}
                    Ok(Change::Timeout(timeout)) => self.client.timeout = timeout,
                    Err(refused) => return Err(advice(refused.code, refused.message, refused.hint).into()),
                }
                "SET"
            }
            Kind::Show(name) => {
                let value = settings::value(name);
                let unknown = || report("42704", format!("there is no setting {name}"));
                let value = value.ok_or_else(unknown)?;
                let row = self.wire.answers().row(1, |out| {
                    bytes::BufMut::put_u32(out, value.len() as u32);
                    out.extend_from_slice(value.as_bytes());
                    Ok::<(), Failure>(())
                });
                row?;
                "SHOW"
            }
            Kind::Deallocate(name) => {
                match name {
                    None => self.statements.clear(),
                    Some(name) => drop(self.statement(name).map(|_| self.statements.remove(name))?),
                }
                "DEALLOCATE"
            }
            Kind::DiscardAll => {
                self.statements.clear();
                self.portals.clear();
                self.client.timeout = None;
                "DISCARD ALL"
            }
            Kind::CloseCursor(name) => {
                match name {
                    None => self.portals.clear(),
                    Some(name) => drop(self.portals.remove(name).ok_or_else(|| no_cursor(name))?),
                }
                "CLOSE CURSOR"
            }
            Kind::Refused(report) => return Err(report.clone().into()),
            Kind::Query(_) | Kind::Copy { .. } | Kind::Declare { .. } | Kind::Fetch { .. } => {
                return Err(report("XX000", "a query was taken for a command").into());
            }
        };
        self.wire.answers().done(tag);
        Ok(())
    }

    /// Does work unless the client cancels it or goes away.
    async fn unless_cancelled<T>(&mut self, work: impl Future<Output = Result<T, Report>>) -> Outcome<T> {
        tokio::select! {
            biased;
            () = self.running.cancelled() => Err(crate::failure::cancelled().into()),
            () = self.services.shutdown.cancelled() => Err(Failure::Fatal(report("57P01", "the server is shutting down"))),
            () = self.wire.gone() => Err(Failure::Gone),
            done = work => done.map_err(Failure::Told),
        }
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.portals.values().filter_map(Portal::expires).min()
    }

    /// Ends queries of which the client reads no more, so that they hold nothing beyond their time.
    fn expire_portals(&mut self) {
        let now = Instant::now();
        for portal in self.portals.values_mut() {
            if portal.expires().is_some_and(|expires| expires <= now) {
                portal.state = State::Expired;
            }
        }
    }
}

/// Returns at a moment, or never.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn no_portal(name: &str) -> Failure {
    report("34000", format!("there is no portal {name:?}")).into()
}

fn no_cursor(name: &str) -> Failure {
    report("34000", format!("there is no cursor {name:?}")).into()
}

/// The columns of what `SHOW` answers.
fn show_columns(name: &str, formats: &[Format]) -> Vec<ColumnHeader> {
    let format = formats.first().copied().unwrap_or_default();
    vec![ColumnHeader { name: name.to_lowercase(), type_oid: TEXT.oid, type_bytes: -1, format }]
}
