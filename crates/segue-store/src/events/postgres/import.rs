//! An import in one transaction behind the lock of the head: the events by `COPY`, the rest in one flight.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::LazyLock;

use futures_util::future::{join, join3};
use segue_core::ids::{EventId, TenantId};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::columns::{Parameter, StreamColumns};
use super::heads;
use super::link::{Failure, Work};
use super::redact::{erase_payloads, erase_snapshots};
use super::rows::{self, integer};
use super::statements::{LOCK_HEAD, STREAMS};
use crate::events::import::{Admitted, Continuation};
use crate::events::{Error, Head, Result};
use crate::postgres::Client;

/// An event id that is taken, of some.
const TAKEN: &str =
    "SELECT event_id FROM events WHERE tenant_id = $1 AND event_id = ANY($2) LIMIT 1";

const COPY_EVENTS: &str = "COPY events (tenant_id, event_id, position, append_first_position, version, \
    recorded_at, stream_id, stream_type, event_type, payload_hash, metadata, payload) \
    FROM STDIN BINARY";

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

impl Work for Continuation {
    type Answer = Result<Head>;

    fn tenant(&self) -> Option<TenantId> {
        Some(Continuation::tenant(self))
    }

    async fn run(&self, client: &Client) -> Result<Result<Head>, Failure> {
        let (current, decided) = look(client, self).await?;
        match decided {
            Ok(Admitted::Now(head)) => match write(client, self, &head).await {
                Ok(()) => Ok(Ok(head)),
                // What a unique index refuses is looked for only then: it never happens to a sound page.
                Err(Failure::Again(refused @ Error::Corrupt { .. })) => {
                    client.batch_execute("ROLLBACK").await?;
                    match taken(client, self).await? {
                        Some(id) => Ok(self.check_stored(&[], Some(id)).map(|()| head)),
                        None => Err(Failure::Again(refused)),
                    }
                }
                Err(failure) => Err(failure),
            },
            Ok(Admitted::Before) => {
                client.batch_execute("ROLLBACK").await?;
                Ok(current.ok_or(Error::NotFound { tenant: Continuation::tenant(self) }))
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
) -> Result<(Option<Head>, Result<Admitted>), Failure> {
    let tenant = import.tenant();
    // Before anything is sent: nothing may overtake the beginning of the transaction.
    let lock = client.prepare_cached(LOCK_HEAD).await?;
    let find_streams = client.prepare_cached(STREAMS).await?;
    let ids: Vec<_> = import.streams().iter().map(|stream| stream.id.as_str()).collect();
    let (begun, head, streams) = join3(
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
        client.query_opt(&lock, &[&tenant.0]),
        client.query(&find_streams, &[&tenant.0, &ids]),
    )
    .await;
    begun?;
    let head = head?.as_ref().map(rows::head).transpose()?;
    let streams: HashMap<_, _> =
        streams?.iter().map(|row| rows::present(row, 0)).collect::<Result<_>>()?;
    let current: Vec<_> = import
        .streams()
        .iter()
        .map(|stream| streams.get(&stream.id))
        .map(|found| found.map(|(kind, version)| (Cow::Borrowed(kind.as_str()), *version)))
        .collect();
    let decide = || {
        let admitted = import.admit(head.as_ref().ok_or(Error::NotFound { tenant })?)?;
        if admitted != Admitted::Before {
            import.check_stored(&current, None)?;
        }
        Ok(admitted)
    };
    Ok((head, decide()))
}

/// An event id of the page that is stored already.
async fn taken(client: &Client, import: &Continuation) -> Result<Option<EventId>, Failure> {
    let statement = client.prepare_cached(TAKEN).await?;
    let ids: Vec<_> = import.events().iter().map(|event| event.event_id.0).collect();
    let row = client.query_opt(&statement, &[&import.tenant().0, &ids]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(EventId))
}

/// Writes all of it and commits.
async fn write(client: &Client, import: &Continuation, head: &Head) -> Result<(), Failure> {
    let tenant = import.tenant();
    let erased = import.streams().iter().filter(|stream| stream.is_redacted);
    let erased: Vec<_> = erased.map(|stream| stream.id.as_str()).collect();
    let states = import.states();
    let without = states.values().filter(|state| state.snapshot.is_none());
    let without: Vec<_> = without.map(|state| state.stream_id.as_str()).collect();
    // Before the events of the page: what came after the redaction stays.
    erase_payloads(client, tenant, &erased).await?;
    erase_snapshots(client, tenant, &[erased, without].concat()).await?;
    copy_events(client, import).await?;

    let mut columns = StreamColumns::default();
    for stream in import.streams() {
        let taken = states.get(&stream.id).and_then(|state| state.snapshot.as_ref());
        let state = taken.map(|taken| (taken.version, &taken.facets, taken.state.as_slice()));
        columns.push(tenant, &stream.id, &stream.kind, stream.version, state);
    }
    let mut streams: Vec<Parameter<'_>> = vec![&tenant.0];
    streams.extend(columns.parameters());
    let positions = import.digests().iter().map(|mark| integer(mark.position.0));
    let positions: Vec<_> = positions.collect();
    let digests: Vec<_> = import.digests().iter().map(|mark| mark.digest.0.as_slice()).collect();
    let put_streams = client.prepare_cached(&PUT_STREAMS).await?;
    let keep_digests = client.prepare_cached(KEEP_DIGESTS).await?;
    let (put, kept) = join(
        client.execute(&put_streams, &streams),
        client.execute(&keep_digests, &[&tenant.0, &positions, &digests]),
    )
    .await;
    put.and(kept)?;
    heads::change(client, tenant, head).await?;
    Ok(client.batch_execute("COMMIT").await?)
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
