//! An import in one transaction behind the lock of the head. A few events, such as those that writers wait for
//! in a cutover, travel in one flight with everything else and the commit; a page goes by `COPY`.
//!
//! Where the streams of a page end so far is remembered from the page before, as long as that was imported
//! here: the head is compared on position and digest, and the digest covers the version of every stream. So
//! most pages look nothing up.
//!
//! Imports are committed without waiting for the disk, save the one that prepares the log: its flush takes
//! those before it along.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{LazyLock, Mutex, PoisonError};

use futures_util::future::{join, join3, try_join4};
use segue_core::digest::Mark;
use segue_core::ids::{EventId, StreamId, StreamVersion, TenantId};
use tokio_postgres::Statement;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::columns::{EventColumns, EventRow, Parameter, StreamColumns};
use super::heads;
use super::link::{Failure, Work};
use super::redact::Erase;
use super::rows::{self, integer};
use super::statements::LOCK_HEAD;
use crate::events::import::{Admitted, Continuation, Extended};
use crate::events::{Error, Event, Head, Result};
use crate::postgres::Client;

/// How many tenants' copies are remembered, and how many streams of each.
const TENANTS: usize = 256;
const STREAMS: usize = 64 * 1024;

/// Up to how many events are inserted by a statement. A `COPY` costs less for each, and two round trips more.
const FEW: usize = 256;

/// And up to how many bytes: a statement is built as a whole, a `COPY` is streamed.
const FEW_BYTES: usize = 1024 * 1024;

/// Where streams end so far, by their last events.
const LAST_EVENTS: &str = "SELECT asked.stream_id, last.stream_type, last.version \
    FROM unnest($2::text[]) AS asked (stream_id) CROSS JOIN LATERAL ( \
        SELECT stream_type, version FROM events \
        WHERE tenant_id = $1 AND events.stream_id = asked.stream_id COLLATE \"C\" \
        ORDER BY version DESC LIMIT 1) last";

/// An event id that is taken, of some.
const TAKEN: &str =
    "SELECT event_id FROM events WHERE tenant_id = $1 AND event_id = ANY($2) LIMIT 1";

const COPY_EVENTS: &str = "COPY events (tenant_id, event_id, position, append_first_position, version, \
    recorded_at, stream_id, stream_type, event_type, payload_hash, metadata, payload) \
    FROM STDIN BINARY";

static INSERT_EVENTS: LazyLock<String> = LazyLock::new(EventColumns::insert);

const EVENT_TYPES: [Type; 12] = [
    Type::UUID,
    Type::UUID,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
];

const KEEP_DIGESTS: &str = "INSERT INTO digests (tenant_id, position, digest) \
    SELECT $1, u.* FROM unnest($2::bigint[], $3::bytea[]) AS u";

static PUT_STREAMS: LazyLock<String> =
    LazyLock::new(|| StreamColumns::upsert("(SELECT $1::uuid AS tenant_id)", 2));

/// Where streams of copies end, as this process left them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    by_tenant: Mutex<HashMap<TenantId, Ends>>,
}

/// Where the streams of one copy end at a mark, as far as is known.
#[derive(Debug, Default)]
struct Ends {
    at: Option<Mark>,
    streams: HashMap<StreamId, (Cow<'static, str>, StreamVersion)>,
}

impl Copies {
    /// What is known of a tenant at a mark.
    fn take(&self, tenant: TenantId, at: Mark) -> Ends {
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        by_tenant.remove(&tenant).filter(|ends| ends.at == Some(at)).unwrap_or_default()
    }

    fn keep(&self, tenant: TenantId, ends: Ends) {
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        if by_tenant.len() >= TENANTS {
            by_tenant.clear();
        }
        by_tenant.insert(tenant, ends);
    }
}

impl Ends {
    fn known(&self, stream: &Extended) -> Option<(Cow<'_, str>, StreamVersion)> {
        let (kind, version) = self.streams.get(&stream.id)?;
        Some((Cow::Borrowed(kind.as_ref()), *version))
    }

    /// Where the streams end after an import.
    fn advance(&mut self, import: &Continuation, head: &Head) {
        if self.streams.len() + import.streams().len() > STREAMS {
            self.streams.clear();
        }
        for Extended { id, kind, version, .. } in import.streams() {
            self.streams.insert(id.clone(), (kind.clone(), *version));
        }
        self.at = Some(head.mark());
    }
}

/// An import, and what is remembered for it.
pub(super) struct Importing<'a> {
    pub(super) import: &'a Continuation,
    pub(super) copies: &'a Copies,
}

impl Work for Importing<'_> {
    type Answer = Result<Head>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.import.tenant())
    }

    async fn run(&self, client: &Client) -> Result<Result<Head>, Failure> {
        let import = self.import;
        let prepared = Prepared::on(client).await?;
        let mut ends = self.copies.take(import.tenant(), import.after());
        let (current, decided) = look(client, import, &mut ends).await?;
        match decided {
            Ok(Admitted::Now(head)) => match write(client, import, &head, &prepared).await {
                Ok(()) => {
                    ends.advance(import, &head);
                    self.copies.keep(import.tenant(), ends);
                    Ok(Ok(head))
                }
                // What a unique index refuses is looked for only then: it never happens to a sound page.
                Err(Failure::Again(refused @ Error::Corrupt { .. })) => {
                    client.batch_execute("ROLLBACK").await?;
                    match taken(client, import).await? {
                        Some(id) => Ok(import.check_stored(&[], Some(id)).map(|()| head)),
                        None => Err(Failure::Again(refused)),
                    }
                }
                Err(failure) => Err(failure),
            },
            Ok(Admitted::Before) => {
                client.batch_execute("ROLLBACK").await?;
                Ok(current.ok_or(Error::NotFound { tenant: import.tenant() }))
            }
            Err(refused) => {
                client.batch_execute("ROLLBACK").await?;
                Ok(Err(refused))
            }
        }
    }
}

/// Locks the head, and decides on what stands behind it.
async fn look(
    client: &Client,
    import: &Continuation,
    ends: &mut Ends,
) -> Result<(Option<Head>, Result<Admitted>), Failure> {
    let tenant = import.tenant();
    // Before anything is sent: nothing may overtake the beginning of the transaction.
    let lock = client.prepare_cached(LOCK_HEAD).await?;
    let begin = match import.prepares() {
        true => "BEGIN ISOLATION LEVEL READ COMMITTED",
        false => "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off",
    };
    let (begun, head) =
        join(client.batch_execute(begin), client.query_opt(&lock, &[&tenant.0])).await;
    begun?;
    let head = head?.as_ref().map(rows::head).transpose()?;
    let admit = |head: Option<&Head>| import.admit(head.ok_or(Error::NotFound { tenant })?);
    let admitted = match admit(head.as_ref()) {
        Ok(admitted @ Admitted::Now(_)) => admitted,
        other => return Ok((head, other)),
    };
    look_up(client, import, ends).await?;
    let current: Vec<_> = import.streams().iter().map(|stream| ends.known(stream)).collect();
    Ok((head, import.check_stored(&current, None).map(|()| admitted)))
}

/// Looks up where streams end that nothing is known of.
async fn look_up(client: &Client, import: &Continuation, ends: &mut Ends) -> Result<(), Failure> {
    let unknown = import.streams().iter().filter(|stream| ends.known(stream).is_none());
    let unknown: Vec<_> = unknown.map(|stream| stream.id.as_str()).collect();
    if unknown.is_empty() || import.after() == Mark::START {
        return Ok(());
    }
    let statement = client.prepare_cached(LAST_EVENTS).await?;
    for row in client.query(&statement, &[&import.tenant().0, &unknown]).await? {
        let (id, (kind, version)) = rows::present(&row, 0)?;
        ends.streams.insert(id, (Cow::Owned(kind), version));
    }
    Ok(())
}

/// An event id of the page that is stored already.
async fn taken(client: &Client, import: &Continuation) -> Result<Option<EventId>, Failure> {
    let statement = client.prepare_cached(TAKEN).await?;
    let ids: Vec<_> = import.events().iter().map(|event| event.event_id.0).collect();
    let row = client.query_opt(&statement, &[&import.tenant().0, &ids]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(EventId))
}

/// What writes an import, prepared before anything of it is sent: nothing may be overtaken by the commit.
struct Prepared {
    erase: Erase,
    insert_events: Statement,
    put_streams: Statement,
    keep_digests: Statement,
}

impl Prepared {
    async fn on(client: &Client) -> Result<Self, Failure> {
        let (erase, insert_events, put_streams, keep_digests) = try_join4(
            Erase::prepared(client),
            client.prepare_cached(&INSERT_EVENTS),
            client.prepare_cached(&PUT_STREAMS),
            client.prepare_cached(KEEP_DIGESTS),
        )
        .await?;
        Ok(Self { erase, insert_events, put_streams, keep_digests })
    }
}

/// Writes all of it and commits. In each flight, where one statement fails those behind it do as well, and the
/// commit rolls back.
async fn write(
    client: &Client,
    import: &Continuation,
    head: &Head,
    prepared: &Prepared,
) -> Result<(), Failure> {
    let erasing = erase(client, import, &prepared.erase);
    let closing = join3(
        put_streams(client, import, &prepared.put_streams),
        keep_digests(client, import, &prepared.keep_digests),
        heads::change_and_commit(client, import.tenant(), head),
    );
    let (inserted, (streams, digests, committed)) = if is_small(import) {
        let inserting = insert_events(client, import, &prepared.insert_events);
        let (erased, inserted, closing) = join3(erasing, inserting, closing).await;
        (erased.and(inserted), closing)
    } else {
        erasing.await?;
        copy_events(client, import).await?;
        (Ok(()), closing.await)
    };
    inserted.and(streams).and(digests).and(committed)
}

fn is_small(import: &Continuation) -> bool {
    let events = import.events();
    events.len() <= FEW && events.iter().map(Event::size).sum::<usize>() <= FEW_BYTES
}

/// Erases what a redaction in the page has erased, and snapshots that the source does not have. Before the events
/// of the page are written: what came after the redaction stays.
async fn erase(client: &Client, import: &Continuation, erase: &Erase) -> Result<(), Failure> {
    let erased = import.streams().iter().filter(|stream| stream.is_redacted);
    let erased: Vec<_> = erased.map(|stream| stream.id.as_str()).collect();
    let without = import.ended().filter(|(_, state)| state.snapshot.is_none());
    let mut without: Vec<_> = without.map(|(stream, _)| stream.id.as_str()).collect();
    without.extend(&erased);
    erase.of(client, import.tenant(), &erased, &without).await
}

async fn put_streams(
    client: &Client,
    import: &Continuation,
    statement: &Statement,
) -> Result<(), Failure> {
    let tenant = import.tenant();
    let mut columns = StreamColumns::default();
    let mut count = 0;
    for (Extended { id, kind, version, .. }, state) in import.ended() {
        let taken = state.snapshot.as_ref();
        let state = taken.map(|taken| (taken.version, &taken.facets, taken.state.as_slice()));
        columns.push(tenant, id, kind, *version, state);
        count += 1;
    }
    if count > 0 {
        let mut streams: Vec<Parameter<'_>> = vec![&tenant.0];
        streams.extend(columns.parameters());
        client.execute(statement, &streams).await?;
    }
    Ok(())
}

async fn keep_digests(
    client: &Client,
    import: &Continuation,
    statement: &Statement,
) -> Result<(), Failure> {
    let positions = import.digests().iter().map(|mark| integer(mark.position.0));
    let positions: Vec<_> = positions.collect();
    let digests: Vec<_> = import.digests().iter().map(|mark| mark.digest.0.as_slice()).collect();
    if !positions.is_empty() {
        client.execute(statement, &[&import.tenant().0, &positions, &digests]).await?;
    }
    Ok(())
}

async fn insert_events(
    client: &Client,
    import: &Continuation,
    statement: &Statement,
) -> Result<(), Failure> {
    let events = import.events();
    if events.is_empty() {
        return Ok(());
    }
    let mut columns = EventColumns::default();
    for event in events {
        columns.push(EventRow {
            tenant: import.tenant(),
            position: event.position,
            append_first: event.append_first_position,
            id: event.event_id,
            version: event.version,
            recorded_at: event.recorded_at,
            stream: &event.stream_id,
            stream_type: &event.stream_type,
            event_type: &event.event_type,
            payload_hash: &event.payload_hash,
            metadata: &event.metadata,
            payload: event.payload.as_deref(),
        });
    }
    client.execute(statement, &columns.parameters()).await?;
    Ok(())
}

async fn copy_events(client: &Client, import: &Continuation) -> Result<(), Failure> {
    let tenant = import.tenant();
    let copy = client.prepare_cached(COPY_EVENTS).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in(&copy).await?, &EVENT_TYPES));
    for event in import.events() {
        let (position, first) = (integer(event.position.0), integer(event.append_first_position.0));
        let (version, recorded_at) = (integer(event.version.0), event.recorded_at.as_microsecond());
        let row: [Parameter<'_>; 12] = [
            &tenant.0,
            &event.event_id.0,
            &position,
            &first,
            &version,
            &recorded_at,
            &event.stream_id.as_str(),
            &event.stream_type,
            &event.event_type,
            &event.payload_hash.0.as_slice(),
            &event.metadata,
            &event.payload,
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}
