//! Rows to be written, as the arrays that a statement unfolds.

use jiff::Timestamp;
use segue_core::digest::Digest;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::{checkpoints_text, integer};
use crate::events::accept::Accepted;
use crate::events::query::order_key;
use crate::events::{Facets, Head, StreamAppend};

/// The longest list of checkpoints that stands in an index, in bytes. PostgreSQL refuses entries over
/// 2,704 bytes, and the other columns of the index may have 1,000.
const INDEXED_CHECKPOINTS: usize = 1_000;

/// A snapshot, the version it was taken at, and what it is found by.
pub(super) type State<'a> = (StreamVersion, &'a Facets, &'a [u8]);

/// A parameter of a statement.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// The rows that arrays of the same length make, whose parameters begin at number `first`. In the list of
/// what is selected, where PostgreSQL takes them one value after the other: as a table, it would write
/// each array into a store of its own first, which costs more than to insert an event.
fn unfolded(columns: &[(&str, &str)], first: usize) -> String {
    let columns = (first..).zip(columns);
    let columns = columns.map(|(n, (name, kind))| format!("unnest(${n}::{kind}[]) AS {name}"));
    format!("SELECT {}", columns.collect::<Vec<_>>().join(", "))
}

/// Streams as they will be.
#[derive(Debug, Default)]
pub(super) struct StreamColumns<'a> {
    tenants: Vec<Uuid>,
    ids: Vec<&'a str>,
    types: Vec<&'a str>,
    versions: Vec<i64>,
    snapshot_versions: Vec<Option<i64>>,
    listed_ats: Vec<Option<i64>>,
    started_ats: Vec<Option<i64>>,
    scenario_versions: Vec<Option<i64>>,
    scenario_ids: Vec<Option<Uuid>>,
    settled: Vec<Option<Uuid>>,
    live: Vec<bool>,
    step_ids: Vec<Option<&'a str>>,
    channels: Vec<Option<&'a str>>,
    customer_ids: Vec<Option<&'a str>>,
    checkpoints: Vec<Option<String>>,
    checkpoints_long: Vec<Option<String>>,
    snapshots: Vec<Option<&'a [u8]>>,
}

impl<'a> StreamColumns<'a> {
    /// Adds a stream; without a state it keeps the one it has.
    pub(super) fn push(
        &mut self,
        tenant: TenantId,
        id: &'a StreamId,
        kind: &'a str,
        version: StreamVersion,
        state: Option<State<'a>>,
    ) {
        let facets = state.map(|(_, facets, _)| facets);
        let checkpoints = facets.and_then(|facets| checkpoints_text(&facets.checkpoints));
        let (short, long) = match checkpoints {
            Some(text) if text.len() > INDEXED_CHECKPOINTS => {
                (Some(format!("#{}", Digest::of_payload(text.as_bytes()))), Some(text))
            }
            short => (short, None),
        };
        let started_at = facets.and_then(|facets| facets.started_at);
        self.tenants.push(tenant.0);
        self.ids.push(id.as_str());
        self.types.push(kind);
        self.versions.push(integer(version.0));
        self.snapshot_versions.push(state.map(|(version, _, _)| integer(version.0)));
        self.listed_ats.push(facets.map(order_key));
        self.started_ats.push(started_at.map(|time| time.as_microsecond()));
        let version = facets.and_then(|facets| facets.scenario_version);
        self.scenario_versions.push(version.map(|version| integer(version.0)));
        self.scenario_ids.push(facets.and_then(|facets| facets.scenario_id).map(|id| id.0));
        self.settled.push(facets.and_then(|facets| facets.settled).map(|id| id.0));
        self.live.push(facets.is_some_and(|facets| facets.live));
        self.step_ids.push(facets.and_then(|f| f.step_id.as_ref()).map(|step| step.as_str()));
        let channel = facets.and_then(|facets| facets.channel.as_ref());
        self.channels.push(channel.map(|channel| channel.as_str()));
        self.customer_ids.push(facets.and_then(|f| f.customer_id.as_ref()).map(|id| id.as_str()));
        self.checkpoints.push(short);
        self.checkpoints_long.push(long);
        self.snapshots.push(state.map(|(_, _, state)| state));
    }

    /// The statement that writes them, as a part of a larger one: those whose `tenant_id` is in `from`. Its parameters begin at number `first` and are those of
    /// [`StreamColumns::parameters`].
    pub(super) fn upsert(from: &str, first: usize) -> String {
        const COLUMNS: [(&str, &str); 17] = [
            ("tenant_id", "uuid"),
            ("stream_id", "text"),
            ("stream_type", "text"),
            ("version", "bigint"),
            ("snapshot_version", "bigint"),
            ("listed_at", "bigint"),
            ("started_at", "bigint"),
            ("scenario_version", "bigint"),
            ("scenario_id", "uuid"),
            ("settled", "uuid"),
            ("live", "boolean"),
            ("step_id", "text"),
            ("channel", "text"),
            ("customer_id", "text"),
            ("checkpoints", "text"),
            ("checkpoints_long", "text"),
            ("snapshot", "bytea"),
        ];
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        let rows = unfolded(&COLUMNS, first);
        // A stream keeps the snapshot it has when none comes with its events.
        let kept = COLUMNS[4..].iter().map(|(name, _)| {
            format!(
                "{name} = CASE WHEN excluded.snapshot_version IS NULL THEN s.{name} \
                 ELSE excluded.{name} END"
            )
        });
        let kept: Vec<_> = kept.collect();
        format!(
            "INSERT INTO streams AS s ({names}) \
             SELECT u.* FROM {from} f JOIN ({rows}) u ON u.tenant_id = f.tenant_id \
             ON CONFLICT (tenant_id, stream_id) DO UPDATE SET version = excluded.version, {}",
            kept.join(", "),
        )
    }

    pub(super) fn parameters(&self) -> [Parameter<'_>; 17] {
        [
            &self.tenants,
            &self.ids,
            &self.types,
            &self.versions,
            &self.snapshot_versions,
            &self.listed_ats,
            &self.started_ats,
            &self.scenario_versions,
            &self.scenario_ids,
            &self.settled,
            &self.live,
            &self.step_ids,
            &self.channels,
            &self.customer_ids,
            &self.checkpoints,
            &self.checkpoints_long,
            &self.snapshots,
        ]
    }
}

/// Everything that one commit of appends writes, and the heads that it must find.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    tenants: Vec<Uuid>,
    positions: Vec<i64>,
    head_digests: Vec<&'a [u8]>,
    epochs: Vec<i64>,
    next_positions: Vec<i64>,
    next_digests: Vec<&'a [u8]>,
    trusted_tenants: Vec<Uuid>,
    trusted_streams: Vec<&'a str>,
    trusted_types: Vec<&'a str>,
    trusted_versions: Vec<i64>,
    events: EventColumns<'a>,
    digest_tenants: Vec<Uuid>,
    digest_positions: Vec<i64>,
    digests: Vec<&'a [u8]>,
    streams: StreamColumns<'a>,
}

/// An event as it will be.
#[derive(Debug)]
pub(super) struct EventRow<'a> {
    pub(super) tenant: TenantId,
    pub(super) position: Position,
    pub(super) append_first: Position,
    pub(super) id: EventId,
    pub(super) version: StreamVersion,
    pub(super) recorded_at: Timestamp,
    pub(super) stream: &'a StreamId,
    pub(super) stream_type: &'a str,
    pub(super) event_type: &'a str,
    pub(super) payload_hash: &'a Digest,
    pub(super) metadata: &'a [u8],
    pub(super) payload: Option<&'a [u8]>,
}

/// Events as they will be.
#[derive(Debug, Default)]
pub(super) struct EventColumns<'a> {
    tenants: Vec<Uuid>,
    positions: Vec<i64>,
    append_firsts: Vec<i64>,
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    recorded_ats: Vec<i64>,
    streams: Vec<&'a str>,
    stream_types: Vec<&'a str>,
    event_types: Vec<&'a str>,
    payload_hashes: Vec<&'a [u8]>,
    metadata: Vec<&'a [u8]>,
    payloads: Vec<Option<&'a [u8]>>,
}

impl<'a> EventColumns<'a> {
    pub(super) fn push(&mut self, row: EventRow<'a>) {
        self.tenants.push(row.tenant.0);
        self.positions.push(integer(row.position.0));
        self.append_firsts.push(integer(row.append_first.0));
        self.ids.push(row.id.0);
        self.versions.push(integer(row.version.0));
        self.recorded_ats.push(row.recorded_at.as_microsecond());
        self.streams.push(row.stream.as_str());
        self.stream_types.push(row.stream_type);
        self.event_types.push(row.event_type);
        self.payload_hashes.push(&row.payload_hash.0);
        self.metadata.push(row.metadata);
        self.payloads.push(row.payload);
    }

    /// The statement that writes them and nothing else. Its parameters are those of
    /// [`EventColumns::parameters`].
    pub(super) fn insert() -> String {
        let names = EVENTS.map(|(name, _)| name).join(", ");
        format!("INSERT INTO events ({names}) {}", unfolded(&EVENTS, 1))
    }

    pub(super) fn parameters(&self) -> [Parameter<'_>; 12] {
        [
            &self.tenants,
            &self.positions,
            &self.append_firsts,
            &self.ids,
            &self.versions,
            &self.recorded_ats,
            &self.streams,
            &self.stream_types,
            &self.event_types,
            &self.payload_hashes,
            &self.metadata,
            &self.payloads,
        ]
    }
}

const TRUSTED: [(&str, &str); 4] =
    [("tenant_id", "uuid"), ("stream_id", "text"), ("stream_type", "text"), ("version", "bigint")];

const EVENTS: [(&str, &str); 12] = [
    ("tenant_id", "uuid"),
    ("position", "bigint"),
    ("append_first_position", "bigint"),
    ("event_id", "uuid"),
    ("version", "bigint"),
    ("recorded_at", "bigint"),
    ("stream_id", "text"),
    ("stream_type", "text"),
    ("event_type", "text"),
    ("payload_hash", "bytea"),
    ("metadata", "bytea"),
    ("payload", "bytea"),
];

const DIGESTS: [(&str, &str); 3] =
    [("tenant_id", "uuid"), ("position", "bigint"), ("digest", "bytea")];

impl<'a> Columns<'a> {
    /// Adds a tenant: the head that must be found, and the one that is left.
    pub(super) fn push_head(&mut self, tenant: TenantId, before: &'a Head, after: &'a Head) {
        self.tenants.push(tenant.0);
        self.positions.push(integer(before.position.0));
        self.head_digests.push(&before.digest.0);
        self.epochs.push(integer(before.epoch.0));
        self.next_positions.push(integer(after.position.0));
        self.next_digests.push(&after.digest.0);
    }

    /// Adds the events of an append, and the digest that is kept after it.
    pub(super) fn push_events(&mut self, tenant: TenantId, accepted: &'a Accepted<'a>) {
        for placed in &accepted.placed {
            self.events.push(EventRow {
                tenant,
                position: placed.position,
                append_first: accepted.first,
                id: placed.event.event_id,
                version: placed.version,
                recorded_at: accepted.recorded_at,
                stream: &placed.stream.stream_id,
                stream_type: &placed.stream.stream_type,
                event_type: &placed.event.event_type,
                payload_hash: &placed.payload_hash,
                metadata: &placed.event.metadata,
                payload: Some(&placed.event.payload),
            });
        }
        if let Some(mark) = &accepted.keep {
            self.digest_tenants.push(tenant.0);
            self.digest_positions.push(integer(mark.position.0));
            self.digests.push(&mark.digest.0);
        }
    }

    /// Adds a stream as it will be.
    pub(super) fn push_stream(
        &mut self,
        tenant: TenantId,
        stream: &'a StreamAppend,
        version: StreamVersion,
        state: Option<State<'a>>,
    ) {
        self.streams.push(tenant, &stream.stream_id, &stream.stream_type, version, state);
    }

    /// Adds what is taken on trust of a stream, and must be found so.
    pub(super) fn push_trusted(
        &mut self,
        tenant: TenantId,
        stream: &'a StreamAppend,
        version: StreamVersion,
    ) {
        self.trusted_tenants.push(tenant.0);
        self.trusted_streams.push(stream.stream_id.as_str());
        self.trusted_types.push(&stream.stream_type);
        self.trusted_versions.push(integer(version.0));
    }

    /// The statement that writes for one tenant all of it, or nothing when its head is another one by now,
    /// or somebody has locked it. It names the tenant, so that a distributed database knows where to send
    /// it.
    pub(super) fn statement() -> String {
        let heads = format!(
            "locked AS ( \
                SELECT h.tenant_id FROM tenant_head h \
                WHERE h.tenant_id = $1 AND h.position = $2 AND h.digest = $3 AND h.epoch = $4 \
                    AND h.mode IN ('open', 'prepared') AND {} \
                FOR NO KEY UPDATE SKIP LOCKED \
             ), head AS ( \
                UPDATE tenant_head h SET position = $5, digest = $6, mode = 'open' \
                FROM locked WHERE h.tenant_id = $1 AND locked.tenant_id = h.tenant_id \
                RETURNING h.tenant_id)",
            as_trusted(7),
        );
        writing(&heads, 11)
    }

    /// The statement that writes for several tenants, for each all of it or nothing. It waits for no head:
    /// one that is locked, or is another one by now, is passed over.
    pub(super) fn joint_statement() -> String {
        const HEADS: [(&str, &str); 6] = [
            ("tenant_id", "uuid"),
            ("position", "bigint"),
            ("digest", "bytea"),
            ("epoch", "bigint"),
            ("next_position", "bigint"),
            ("next_digest", "bytea"),
        ];
        let heads = format!(
            "locked AS ( \
                SELECT h.tenant_id, w.next_position, w.next_digest \
                FROM ({wanted}) w JOIN tenant_head h ON h.tenant_id = w.tenant_id \
                WHERE h.position = w.position AND h.digest = w.digest AND h.epoch = w.epoch \
                    AND h.mode IN ('open', 'prepared') AND {trusted} \
                FOR NO KEY UPDATE OF h SKIP LOCKED \
             ), head AS ( \
                UPDATE tenant_head h SET position = locked.next_position, \
                    digest = locked.next_digest, mode = 'open' \
                FROM locked WHERE h.tenant_id = locked.tenant_id \
                RETURNING h.tenant_id)",
            wanted = unfolded(&HEADS, 1),
            trusted = as_trusted(7),
        );
        writing(&heads, 11)
    }

    /// The parameters of [`Columns::statement`], of which the heads are those of one tenant.
    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        self.all([
            &self.tenants[0],
            &self.positions[0],
            &self.head_digests[0],
            &self.epochs[0],
            &self.next_positions[0],
            &self.next_digests[0],
        ])
    }

    /// The parameters of [`Columns::joint_statement`].
    pub(super) fn joint_parameters(&self) -> Vec<Parameter<'_>> {
        self.all([
            &self.tenants,
            &self.positions,
            &self.head_digests,
            &self.epochs,
            &self.next_positions,
            &self.next_digests,
        ])
    }

    fn all<'b>(&'b self, heads: [Parameter<'b>; 6]) -> Vec<Parameter<'b>> {
        let trusted: [Parameter<'b>; 4] = [
            &self.trusted_tenants,
            &self.trusted_streams,
            &self.trusted_types,
            &self.trusted_versions,
        ];
        let digests: [Parameter<'b>; 3] =
            [&self.digest_tenants, &self.digest_positions, &self.digests];
        let all = heads.into_iter().chain(trusted).chain(self.events.parameters()).chain(digests);
        all.chain(self.streams.parameters()).collect()
    }
}

/// Whether the streams of the head `h` that were taken on trust are as they were taken to be, in the
/// snapshot in which the head is found.
fn as_trusted(first: usize) -> String {
    format!(
        "NOT EXISTS ( \
            SELECT 1 FROM ({}) trusted \
            WHERE trusted.tenant_id = h.tenant_id AND trusted.version <> coalesce(( \
                SELECT CASE found.stream_type WHEN trusted.stream_type \
                    THEN found.version ELSE -1 END \
                FROM streams found \
                WHERE found.tenant_id = h.tenant_id \
                    AND found.stream_id = trusted.stream_id), 0))",
        unfolded(&TRUSTED, first)
    )
}

/// The statement that changes heads as `heads` says and writes what belongs to those that it changed, whose
/// tenants it answers. The parameters of the events begin at number `first`.
fn writing(heads: &str, first: usize) -> String {
    let digests = first + EVENTS.len();
    let streams = digests + DIGESTS.len();
    let names = EVENTS.map(|(name, _)| name).join(", ");
    format!(
        "WITH {heads}, events_written AS ( \
            INSERT INTO events ({names}) \
            SELECT u.* FROM head JOIN ({events}) u ON u.tenant_id = head.tenant_id \
         ), digests_written AS ( \
            INSERT INTO digests (tenant_id, position, digest) \
            SELECT u.* FROM head JOIN ({kept}) u ON u.tenant_id = head.tenant_id \
         ), streams_written AS ({put}) \
         SELECT tenant_id FROM head",
        events = unfolded(&EVENTS, first),
        kept = unfolded(&DIGESTS, digests),
        put = StreamColumns::upsert("head", streams),
    )
}
