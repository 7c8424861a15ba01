//! How appends of one tenant enter its log: in one round trip where that can be guessed, else with care.
//!
//! **Guessing.** The process remembers the head that it last left, and where streams stood there. It
//! decides the appends on that, and sends one statement that commits by itself. The statement changes the
//! head only if position, digest, epoch and mode are as remembered, and everything else hangs on that
//! change. Streams that are not remembered are taken to be where their append expects them, and the
//! statement checks that too, in the snapshot in which it finds the head. So either all of it is written
//! after exactly the log it was decided on, or nothing. Event ids are not looked up: the unique index
//! refuses one that is taken.
//!
//! Where too little is remembered (a tenant that is new to this process, a stream that takes events at any
//! version), one read of head and streams comes first.
//!
//! **With care.** Whatever cannot be guessed or was refused (another writer came first, an id is taken, a
//! version is not as expected) is decided in a transaction: lock the head, look up streams and event ids
//! behind the lock, decide each append as every store does, write with the same statement, commit. Two
//! round trips. Only this way is anybody told `Conflict`, `Fenced`, `DuplicateEvent` or an earlier answer.
//!
//! **Not knowing.** When a connection breaks, the server stops, or an answer does not come in time, the
//! appends may or may not be in the log. They are then decided again with care: the ids are looked up
//! behind the lock of the head, so those that are there are answered with their first result and the others
//! are appended. Exactly once, because a statement of the lost connection that still runs on the server is
//! harmless wherever it stands:
//!
//! - It holds the head's lock: the lookup waits for it, and sees what it wrote, or that it wrote nothing.
//! - It has not locked the head yet, and the log grows before it does: it finds another position and digest
//!   and writes nothing. (A transaction with care has nothing to write before it has the lock.)
//! - It has not locked the head yet, and the log does not grow: then nothing was appended under these ids,
//!   and the caller was told `Unavailable`, or `Fenced` while the head was. If it writes after all, it
//!   writes once what the caller will repeat under the same ids; and not at all once the epoch has moved on.
//!
//! The server gives up a statement at `statement_timeout`, before the commit of it has begun, and says so:
//! nothing was written. This process waits for a while longer ([`Link`]); when it gives up first, the
//! outcome is unknown as above. Both orders are safe, neither is assumed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use futures_util::future::{join, join4};
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};
use tokio_postgres::{Row, Statement};

use super::columns::Columns;
use super::draft::{Draft, Present};
use super::link::{Failure, Work};
use super::memory::Known;
use super::rows::{self, HEAD_COLUMNS};
use super::statements::{HEAD_AND_STREAMS, KNOWN_EVENTS, LOCK_HEAD, STREAMS, WRITE, WRITE_JOINTLY};
use crate::events::accept::Checked;
use crate::events::{Appended, Error, Event, Expected, Head, Result};
use crate::postgres::Client;

/// Appends that are decided on what is remembered.
pub(super) struct Guess<'a> {
    tenant: TenantId,
    pub(super) draft: Draft<'a>,
    pub(super) answers: Vec<Appended>,
}

impl<'a> Guess<'a> {
    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Decides the appends on what is known.
    pub(super) fn new(
        tenant: TenantId,
        known: &Known,
        appends: &'a [&'a Checked],
    ) -> Result<Self, NoGuess> {
        let mut draft = Draft::after(tenant, known.head().ok_or(NoGuess::NotKnown)?);
        let mut answers = Vec::with_capacity(appends.len());
        for checked in appends {
            let mut current = Vec::with_capacity(checked.append().streams.len());
            for stream in &checked.append().streams {
                let id = &stream.stream_id;
                let present = draft.present(id).map(Some).or_else(|| known.stream(id));
                let present = match (present, stream.expected) {
                    (Some(present), _) => present,
                    (None, Expected::NoStream | Expected::Version(StreamVersion(0))) => {
                        draft.trust(stream, StreamVersion(0));
                        None
                    }
                    // No stream is longer than its log.
                    (None, Expected::Version(version)) if version.0 > draft.head().position.0 => {
                        return Err(NoGuess::Refused);
                    }
                    (None, Expected::Version(version)) => {
                        draft.trust(stream, version);
                        Some((stream.stream_type.as_ref().into(), version))
                    }
                    (None, Expected::Any) => return Err(NoGuess::NotKnown),
                };
                current.push(present);
            }
            answers.push(draft.add(checked, &current).map_err(|_| NoGuess::Refused)?);
        }
        Ok(Self { tenant, draft, answers })
    }
}

/// Why nothing can be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoGuess {
    /// The head, or a stream that an append takes at any version, is not known: a look may help.
    NotKnown,
    /// An append would be refused; whether it is, only the careful way may say.
    Refused,
}

/// A look at the head and at streams, in one snapshot and without a lock.
pub(super) struct Look<'a> {
    pub(super) tenant: TenantId,
    pub(super) appends: &'a [&'a Checked],
}

/// A head, and where streams stand at it.
pub(super) type Seen = (Head, Vec<(StreamId, Option<(String, StreamVersion)>)>);

impl Work for Look<'_> {
    type Answer = Option<Seen>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    async fn run(&self, client: &Client) -> Result<Option<Seen>, Failure> {
        let streams = self.appends.iter().flat_map(|checked| &checked.append().streams);
        let asked: HashSet<_> = streams.map(|stream| &stream.stream_id).collect();
        let ids: Vec<_> = asked.iter().map(|id| id.as_str()).collect();
        let statement = client.prepare_cached(&HEAD_AND_STREAMS).await?;
        let rows = client.query(&statement, &[&self.tenant.0, &ids]).await?;
        let Some(head) = rows.first().map(rows::head).transpose()? else { return Ok(None) };
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            if !rows::is_null(row, HEAD_COLUMNS)? {
                let (id, present) = rows::present(row, HEAD_COLUMNS)?;
                found.insert(id, present);
            }
        }
        let streams = asked.into_iter().map(|id| (id.clone(), found.remove(id)));
        Ok(Some((head, streams.collect())))
    }
}

/// What came of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was right, and everything is written.
    All,
    /// The head or a stream is not as it was taken to be, and nothing is written.
    Nothing,
}

impl Work for Guess<'_> {
    type Answer = Written;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    async fn run(&self, client: &Client) -> Result<Written, Failure> {
        let statement = client.prepare_cached(&WRITE).await?;
        write(client, &statement, &self.draft).await
    }
}

/// Guesses of several tenants, which one statement writes.
pub(super) struct JointGuess<'a>(pub(super) &'a [&'a Guess<'a>]);

impl Work for JointGuess<'_> {
    /// The tenants whose guess was right, and is written; nothing is written for the others.
    type Answer = HashSet<TenantId>;

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    async fn run(&self, client: &Client) -> Result<HashSet<TenantId>, Failure> {
        let statement = client.prepare_cached(&WRITE_JOINTLY).await?;
        let mut columns = Columns::default();
        for guess in self.0 {
            guess.draft.put_into(&mut columns);
        }
        let rows = client.query(&statement, &columns.joint_parameters()).await?;
        rows.iter().map(|row| Ok(TenantId(row.try_get(0)?))).collect()
    }
}

/// Writes a draft, in the transaction that is open or in one of its own.
pub(super) async fn write(
    client: &Client,
    statement: &Statement,
    draft: &Draft<'_>,
) -> Result<Written, Failure> {
    let mut columns = Columns::default();
    draft.put_into(&mut columns);
    let head = client.query_opt(statement, &columns.parameters()).await?;
    Ok(if head.is_some() { Written::All } else { Written::Nothing })
}

/// Writes a draft and commits the transaction that is open, in one flight: where the write fails, the
/// commit behind it rolls back.
pub(super) async fn write_and_commit(client: &Client, draft: &Draft<'_>) -> Result<(), Failure> {
    // Before anything is sent: the commit must not overtake the write.
    let statement = client.prepare_cached(&WRITE).await?;
    let written = write(client, &statement, draft);
    let (written, committed) = join(written, client.batch_execute("COMMIT")).await;
    match written? {
        Written::All => Ok(committed?),
        Written::Nothing => {
            let what = "the head of a tenant changed behind its lock".to_owned();
            Err(Error::Corrupt { what, source: None }.into())
        }
    }
}

/// Appends that are decided behind the lock of the head.
pub(super) struct Careful<'a> {
    pub(super) tenant: TenantId,
    pub(super) appends: &'a [&'a Checked],
}

/// What was decided behind the lock, and is written.
pub(super) struct Decided<'a> {
    /// What was written, if the tenant has a log.
    pub(super) draft: Option<Draft<'a>>,
    pub(super) answers: Vec<Result<Appended>>,
}

impl<'a> Work for Careful<'a> {
    type Answer = Decided<'a>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    async fn run(&self, client: &Client) -> Result<Decided<'a>, Failure> {
        let streams = self.appends.iter().flat_map(|checked| &checked.append().streams);
        let streams = streams.map(|stream| stream.stream_id.as_str());
        let ids = self.appends.iter().flat_map(|checked| checked.append().events());
        let ids = ids.map(|event| event.event_id);
        let found = Found::behind_lock(client, self.tenant, streams, ids).await?;
        let decided = self.decide(&found);
        match &decided.draft {
            Some(draft) if !draft.is_empty() => write_and_commit(client, draft).await?,
            Some(_) | None => client.batch_execute("ROLLBACK").await?,
        }
        Ok(decided)
    }
}

impl<'a> Careful<'a> {
    fn decide(&self, found: &Found) -> Decided<'a> {
        let Some(head) = found.head else {
            let tenant = self.tenant;
            let answers = self.appends.iter().map(|_| Err(Error::NotFound { tenant })).collect();
            return Decided { draft: None, answers };
        };
        let mut draft = Draft::after(self.tenant, head);
        let answers = self.appends.iter().map(|checked| decide(&mut draft, found, checked));
        let answers = answers.collect();
        Decided { draft: Some(draft), answers }
    }
}

fn decide<'a>(draft: &mut Draft<'a>, found: &Found, checked: &'a Checked) -> Result<Appended> {
    let append = checked.append();
    draft.head().admits_write(append.epoch)?;
    let known: Vec<_> = append.events().map(|event| found.event(event.event_id)).collect();
    if let Some(appended) = checked.repeats(&known, |position| Ok(found.group_at(position)))? {
        return Ok(appended);
    }
    let present = |stream: &StreamId| draft.present(stream).or_else(|| found.stream(stream));
    let current: Vec<_> = append.streams.iter().map(|stream| present(&stream.stream_id)).collect();
    draft.add(checked, &current)
}

/// What stands in the database behind the lock of a head, of what some appends need to know. The
/// transaction is open.
pub(super) struct Found {
    pub(super) head: Option<Head>,
    streams: HashMap<StreamId, (String, StreamVersion)>,
    /// The events without their payloads, each with the group of the event that follows it in the log.
    events: HashMap<EventId, (Event, Option<Position>)>,
}

impl Found {
    pub(super) async fn behind_lock(
        client: &Client,
        tenant: TenantId,
        streams: impl Iterator<Item = &str> + Send,
        ids: impl Iterator<Item = EventId> + Send,
    ) -> Result<Self, Failure> {
        let lock = client.prepare_cached(LOCK_HEAD).await?;
        let find_streams = client.prepare_cached(STREAMS).await?;
        let find_events = client.prepare_cached(&KNOWN_EVENTS).await?;
        let streams: Vec<_> = streams.collect();
        let ids: Vec<_> = ids.map(|id| id.0).collect();
        // In one flight, and in this order: what is looked up behind the lock is seen as its last
        // holder left it, because each statement takes a snapshot of its own at this level.
        let (begun, head, streams, events) = join4(
            client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
            client.query_opt(&lock, &[&tenant.0]),
            client.query(&find_streams, &[&tenant.0, &streams]),
            client.query(&find_events, &[&tenant.0, &ids]),
        )
        .await;
        begun?;
        let head = head?.as_ref().map(rows::head).transpose()?;
        let streams = streams?.iter().map(|row| rows::present(row, 0)).collect::<Result<_>>()?;
        let with_next = |row: &Row| {
            let event = rows::event(row, 0)?;
            let beyond = rows::maybe_number(row, rows::EVENT_COLUMNS)?.map(Position);
            Ok((event.event_id, (event, beyond)))
        };
        let events = events?.iter().map(with_next).collect::<Result<_>>()?;
        Ok(Self { head, streams, events })
    }

    pub(super) fn event(&self, id: EventId) -> Option<Event> {
        self.events.get(&id).map(|(event, _)| event.clone())
    }

    pub(super) fn stream(&self, stream: &StreamId) -> Option<Present<'_>> {
        let (kind, version) = self.streams.get(stream)?;
        Some((Cow::Borrowed(kind), *version))
    }

    /// The append group of the event at a position that follows one of the events.
    pub(super) fn group_at(&self, position: Position) -> Option<Position> {
        let before = self.events.values().find(|(event, _)| event.position.next() == position);
        before.and_then(|(_, beyond)| *beyond)
    }
}
