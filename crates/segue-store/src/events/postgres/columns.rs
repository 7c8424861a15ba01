//! Rows to be written, as the arrays that a statement unfolds.

use segue_core::digest::Digest;
use segue_core::ids::{StreamId, StreamVersion, TenantId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::{checkpoints_text, integer};
use crate::events::query::order_key;
use crate::events::{Facets, Head};

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

    /// The statement that writes them, as a part of a larger one: for each row of `from`, which gives a
    /// `tenant_id`, all streams. Its parameters begin at number `first` and are those of
    /// [`StreamColumns::parameters`].
    pub(super) fn upsert(from: &str, first: usize) -> String {
        const COLUMNS: [(&str, &str); 16] = [
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
        let kept = COLUMNS[3..].iter().map(|(name, _)| {
            format!(
                "{name} = CASE WHEN excluded.snapshot_version IS NULL THEN s.{name} \
                 ELSE excluded.{name} END"
            )
        });
        let kept: Vec<_> = kept.collect();
        format!(
            "INSERT INTO streams AS s (tenant_id, {names}) \
             SELECT f.tenant_id, u.* FROM {from} f CROSS JOIN ({rows}) u \
             ON CONFLICT (tenant_id, stream_id) DO UPDATE SET version = excluded.version, {}",
            kept.join(", "),
        )
    }

    pub(super) fn parameters(&self) -> [Parameter<'_>; 16] {
        [
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

/// Everything that one commit of appends writes, beside the head it must find.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    tenant: Uuid,
    before: (i64, &'a [u8], i64),
    after: (i64, &'a [u8]),
    pub(super) trusted_streams: Vec<&'a str>,
    pub(super) trusted_types: Vec<&'a str>,
    pub(super) trusted_versions: Vec<i64>,
    pub(super) append_firsts: Vec<i64>,
    pub(super) event_ids: Vec<Uuid>,
    pub(super) versions: Vec<i64>,
    pub(super) recorded_ats: Vec<i64>,
    pub(super) event_streams: Vec<&'a str>,
    pub(super) event_stream_types: Vec<&'a str>,
    pub(super) event_types: Vec<&'a str>,
    pub(super) payload_hashes: Vec<&'a [u8]>,
    pub(super) metadata: Vec<&'a [u8]>,
    pub(super) payloads: Vec<&'a [u8]>,
    pub(super) digest_positions: Vec<i64>,
    pub(super) digests: Vec<&'a [u8]>,
    pub(super) streams: StreamColumns<'a>,
}

impl<'a> Columns<'a> {
    /// Nothing yet but the head, before and after.
    pub(super) fn new(tenant: TenantId, before: &'a Head, after: &'a Head) -> Self {
        let Head { position, digest, epoch, .. } = before;
        Self {
            tenant: tenant.0,
            before: (integer(position.0), &digest.0, integer(epoch.0)),
            after: (integer(after.position.0), &after.digest.0),
            trusted_streams: Vec::new(),
            trusted_types: Vec::new(),
            trusted_versions: Vec::new(),
            append_firsts: Vec::new(),
            event_ids: Vec::new(),
            versions: Vec::new(),
            recorded_ats: Vec::new(),
            event_streams: Vec::new(),
            event_stream_types: Vec::new(),
            event_types: Vec::new(),
            payload_hashes: Vec::new(),
            metadata: Vec::new(),
            payloads: Vec::new(),
            digest_positions: Vec::new(),
            digests: Vec::new(),
            streams: StreamColumns::default(),
        }
    }

    /// The statement that writes all of it, or nothing when the head is another one by now.
    pub(super) fn statement() -> String {
        const TRUSTED: [(&str, &str); 3] =
            [("stream_id", "text"), ("stream_type", "text"), ("version", "bigint")];
        const EVENTS: [(&str, &str); 10] = [
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
        const DIGESTS: [(&str, &str); 2] = [("position", "bigint"), ("digest", "bytea")];
        let events = EVENTS.map(|(name, _)| name).join(", ");
        format!(
            "WITH head AS ( \
                UPDATE tenant_head SET position = $5, digest = $6, mode = 'open' \
                WHERE tenant_id = $1 AND position = $2 AND digest = $3 AND epoch = $4 \
                    AND mode IN ('open', 'prepared') \
                    AND NOT EXISTS ( \
                        SELECT 1 FROM ({trusted}) trusted \
                        WHERE trusted.version <> coalesce(( \
                            SELECT CASE found.stream_type WHEN trusted.stream_type \
                                THEN found.version ELSE -1 END \
                            FROM streams found \
                            WHERE found.tenant_id = $1 AND found.stream_id = trusted.stream_id), 0)) \
                RETURNING tenant_id \
             ), events_written AS ( \
                INSERT INTO events (tenant_id, position, {events}) \
                SELECT head.tenant_id, u.* FROM head CROSS JOIN ( \
                    SELECT $2 + generate_series(1, $5 - $2) AS position, {rows}) u \
             ), digests_written AS ( \
                INSERT INTO digests (tenant_id, position, digest) \
                SELECT head.tenant_id, u.* FROM head CROSS JOIN ({digests}) u \
             ), streams_written AS ({streams}) \
             SELECT count(*) FROM head",
            trusted = unfolded(&TRUSTED, 7),
            rows = unfolded(&EVENTS, 10).trim_start_matches("SELECT "),
            digests = unfolded(&DIGESTS, 20),
            streams = StreamColumns::upsert("head", 22),
        )
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters: Vec<Parameter<'_>> = vec![
            &self.tenant,
            &self.before.0,
            &self.before.1,
            &self.before.2,
            &self.after.0,
            &self.after.1,
            &self.trusted_streams,
            &self.trusted_types,
            &self.trusted_versions,
            &self.append_firsts,
            &self.event_ids,
            &self.versions,
            &self.recorded_ats,
            &self.event_streams,
            &self.event_stream_types,
            &self.event_types,
            &self.payload_hashes,
            &self.metadata,
            &self.payloads,
            &self.digest_positions,
            &self.digests,
        ];
        parameters.extend(self.streams.parameters());
        parameters
    }
}
