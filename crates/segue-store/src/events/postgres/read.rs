//! Events and streams, each read by one statement, so that the head is checked in the same snapshot.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use segue_core::digest::Mark;
use segue_core::ids::{EventId, Position, StreamId, StreamVersion, TenantId};
use tokio_postgres::Row;

use super::columns::Parameter;
use super::link::{Failure, Work};
use super::rows::{self, EVENT, HEAD, HEAD_COLUMNS, STATE, integer, of};
use super::statements::HEAD_AND_STREAMS;
use crate::events::{
    Access, Direction, Error, Event, Head, LogPage, LogRead, Result, StreamPage, StreamRead,
    StreamState, Tally, TallyRead, limits,
};
use crate::postgres::Client;

/// Runs a statement whose rows begin with the head, and checks in its snapshot that the tenant may be read
/// here. What was asked for follows in columns that are NULL where there is nothing.
async fn query(
    client: &Client,
    statement: &str,
    parameters: &[Parameter<'_>],
    tenant: TenantId,
    access: Access,
) -> Result<(Head, Vec<Row>), Failure> {
    let statement = client.prepare_cached(statement).await?;
    let rows = client.query(&statement, parameters).await?;
    let head = admitted(&rows, tenant, access)?;
    Ok((head, rows))
}

/// Reads the head from the first row.
pub(super) fn admitted(rows: &[Row], tenant: TenantId, access: Access) -> Result<Head, Failure> {
    let first = rows.first().ok_or(Failure::Refused(Error::NotFound { tenant }))?;
    let head = rows::head(first)?;
    head.admits_read(access).map_err(|fenced| Failure::Refused(fenced.into()))?;
    Ok(head)
}

/// Whether a row has more than the head.
pub(super) fn is_found(row: &Row) -> Result<bool> {
    rows::is_null(row, HEAD_COLUMNS).map(|is_null| !is_null)
}

/// Asks for the head itself, whatever its mode.
pub(super) struct HeadOf(pub(super) TenantId);

impl Work for HeadOf {
    type Answer = Result<Head>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.0)
    }

    fn is_harmless(&self) -> bool {
        true
    }

    async fn run(&self, client: &Client) -> Result<Result<Head>, Failure> {
        let sql = "SELECT position, digest, epoch, mode, coord_term FROM tenant_head \
            WHERE tenant_id = $1";
        let statement = client.prepare_cached(sql).await?;
        let row = client.query_opt(&statement, &[&self.0.0]).await?;
        Ok(match row {
            Some(row) => Ok(rows::head(&row)?),
            None => Err(Error::NotFound { tenant: self.0 }),
        })
    }
}

/// Asks for the present state of streams.
pub(super) struct States<'a> {
    pub(super) tenant: TenantId,
    pub(super) access: Access,
    pub(super) streams: &'a [StreamId],
}

static STATES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {HEAD}, {} FROM tenant_head head LEFT JOIN streams \
            ON streams.tenant_id = $1 AND streams.stream_id = ANY($2) WHERE head.tenant_id = $1",
        of("streams", STATE)
    )
});

impl Work for States<'_> {
    type Answer = Vec<Option<StreamState>>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<Self::Answer, Failure> {
        let ids: Vec<_> = self.streams.iter().map(StreamId::as_str).collect();
        let parameters: [Parameter<'_>; 2] = [&self.tenant.0, &ids];
        let (_, rows) = query(client, &STATES, &parameters, self.tenant, self.access).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            if is_found(row)? {
                let state = rows::state(row, HEAD_COLUMNS)?;
                found.insert(state.stream_id.clone(), state);
            }
        }
        Ok(self.streams.iter().map(|id| found.get(id).cloned()).collect())
    }
}

/// Asks for the versions of streams.
pub(super) struct Versions<'a> {
    pub(super) tenant: TenantId,
    pub(super) access: Access,
    pub(super) streams: &'a [StreamId],
}

impl Work for Versions<'_> {
    type Answer = Vec<StreamVersion>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<Self::Answer, Failure> {
        let ids: Vec<_> = self.streams.iter().map(StreamId::as_str).collect();
        let parameters: [Parameter<'_>; 2] = [&self.tenant.0, &ids];
        let (_, rows) =
            query(client, &HEAD_AND_STREAMS, &parameters, self.tenant, self.access).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            if is_found(row)? {
                let (id, (_, version)) = rows::present(row, HEAD_COLUMNS)?;
                found.insert(id, version);
            }
        }
        let version = |id| found.get(id).copied().unwrap_or(StreamVersion(0));
        Ok(self.streams.iter().map(version).collect())
    }
}

/// Cuts a page of events to its bytes on the server, so that no payload travels or is unpacked in vain:
/// the length of a payload stands in its row, wherever the payload itself is. Of `within` events the first
/// is always there.
fn sized(within: &str, order: &str, max_bytes: &str) -> String {
    format!(
        "SELECT * FROM (SELECT page.*, \
            sum(octet_length(metadata) + coalesce(octet_length(payload), 0)) OVER sizes AS bytes, \
            row_number() OVER sizes AS place \
         FROM ({within}) page WINDOW sizes AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) sized \
         WHERE bytes <= {max_bytes} OR place = 1"
    )
}

const NEXT_POSITION: &str =
    "SELECT min(position) FROM events WHERE tenant_id = $1 AND position > $2";

static LOG_PAGE: LazyLock<String> = LazyLock::new(|| {
    // A range and not a LIMIT: positions have no gaps, and the planner takes a range for short.
    let within = format!(
        "SELECT {EVENT} FROM events WHERE tenant_id = $1 AND position > $2 AND position <= $3"
    );
    format!(
        "SELECT {HEAD}, {} FROM tenant_head head LEFT JOIN LATERAL ({}) page ON true \
         WHERE head.tenant_id = $1 ORDER BY page.position",
        of("page", EVENT),
        sized(&within, "position", "$4")
    )
});

impl Work for LogRead {
    type Answer = LogPage;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<LogPage, Failure> {
        let page = log_page(client, self, self.after).await?;
        if page.events.is_empty() && page.head.position > self.after {
            // Only a damaged log has a gap. What stands behind it is read all the same.
            let next = client.prepare_cached(NEXT_POSITION).await?;
            let next = client.query_one(&next, &[&self.tenant.0, &integer(self.after.0)]).await?;
            if let Some(next) = rows::maybe_number(&next, 0)? {
                return log_page(client, self, Position(next - 1)).await;
            }
        }
        Ok(page)
    }
}

async fn log_page(client: &Client, read: &LogRead, after: Position) -> Result<LogPage, Failure> {
    let limit = read.limit.clamp(1, limits::EVENTS_PER_PAGE) as u64;
    let (after, last) = (integer(after.0), integer(after.0.saturating_add(limit)));
    let max_bytes = integer(read.max_bytes.min(limits::BYTES_PER_PAGE) as u64);
    let parameters: [Parameter<'_>; 4] = [&read.tenant.0, &after, &last, &max_bytes];
    let (head, rows) = query(client, &LOG_PAGE, &parameters, read.tenant, read.access).await?;
    Ok(LogPage { events: events(&rows, HEAD_COLUMNS)?, head })
}

/// A page of a stream, as a statement with a range of versions and an order. `$3` is where it begins, `$4`
/// how many there may be.
fn stream_page(range: &str, order: &str) -> String {
    let within = format!(
        "SELECT {EVENT} FROM events \
         WHERE tenant_id = $1 AND stream_id = $2 AND {range}"
    );
    format!(
        "SELECT {HEAD}, streams.version, streams.stream_type, {} FROM tenant_head head \
         LEFT JOIN streams ON streams.tenant_id = $1 AND streams.stream_id = $2 \
         LEFT JOIN LATERAL ({}) page ON true \
         WHERE head.tenant_id = $1 ORDER BY page.version {order}",
        of("page", EVENT),
        sized(&within, &format!("version {order}"), "$5")
    )
}

static FORWARDS: LazyLock<String> =
    LazyLock::new(|| stream_page("version >= $3 AND version < $3 + $4", "ASC"));
static BACKWARDS: LazyLock<String> = LazyLock::new(|| {
    let first = "least($3, streams.version)";
    stream_page(&format!("version <= {first} AND version > {first} - $4"), "DESC")
});

impl Work for StreamRead {
    type Answer = StreamPage;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<StreamPage, Failure> {
        let limit = integer(self.limit.clamp(1, limits::EVENTS_PER_PAGE) as u64);
        let max_bytes = integer(limits::BYTES_PER_PAGE as u64);
        // Far beyond every version, and still within the range of the numbers that are added to it.
        let from = match self.direction {
            Direction::Forwards => self.from.0.clamp(1, u64::MAX / 4),
            Direction::Backwards => self.from.0.min(u64::MAX / 4),
        };
        let (stream, from) = (self.stream.as_str(), integer(from));
        let parameters: [Parameter<'_>; 5] = [&self.tenant.0, &stream, &from, &limit, &max_bytes];
        let statement = match self.direction {
            Direction::Forwards => &FORWARDS,
            Direction::Backwards => &BACKWARDS,
        };
        let (_, rows) = query(client, statement, &parameters, self.tenant, self.access).await?;
        let first = rows.first().ok_or(Error::NotFound { tenant: self.tenant })?;
        let version = rows::maybe_number(first, HEAD_COLUMNS)?.map_or(0, |version| version);
        let kind: Option<String> = rows::get(first, HEAD_COLUMNS + 1)?;
        let events = events(&rows, HEAD_COLUMNS + 2)?;
        // Versions have no gaps, so where the page ends the next one begins.
        let next = events.last().and_then(|last| match self.direction {
            Direction::Forwards => (last.version.0 < version).then(|| last.version.next()),
            Direction::Backwards => (last.version.0 > 1).then(|| StreamVersion(last.version.0 - 1)),
        });
        let stream_type = kind.map(Cow::Owned);
        Ok(StreamPage { version: StreamVersion(version), stream_type, events, next })
    }
}

/// Asks for one event.
pub(super) struct EventById {
    pub(super) tenant: TenantId,
    pub(super) access: Access,
    pub(super) id: EventId,
}

static EVENT_BY_ID: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {HEAD}, {} FROM tenant_head head \
         LEFT JOIN events ON events.tenant_id = $1 AND events.event_id = $2 \
         WHERE head.tenant_id = $1",
        of("events", EVENT)
    )
});

impl Work for EventById {
    type Answer = Option<Event>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<Option<Event>, Failure> {
        let parameters: [Parameter<'_>; 2] = [&self.tenant.0, &self.id.0];
        let (_, rows) = query(client, &EVENT_BY_ID, &parameters, self.tenant, self.access).await?;
        Ok(events(&rows, HEAD_COLUMNS)?.pop())
    }
}

/// Asks for kept digests.
pub(super) struct Digests {
    pub(super) tenant: TenantId,
    pub(super) access: Access,
    pub(super) after: Position,
    pub(super) limit: usize,
}

static DIGESTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {HEAD}, mark.position, mark.digest FROM tenant_head head LEFT JOIN LATERAL ( \
            SELECT position, digest FROM digests WHERE tenant_id = $1 AND position > $2 \
            ORDER BY position LIMIT $3) mark ON true \
         WHERE head.tenant_id = $1 ORDER BY mark.position"
    )
});

impl Work for Digests {
    type Answer = Vec<Mark>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<Vec<Mark>, Failure> {
        let limit = integer(self.limit.clamp(1, limits::EVENTS_PER_PAGE) as u64);
        let after = integer(self.after.0);
        let parameters: [Parameter<'_>; 3] = [&self.tenant.0, &after, &limit];
        let (_, rows) = query(client, &DIGESTS, &parameters, self.tenant, self.access).await?;
        let mut marks = Vec::with_capacity(rows.len());
        for row in &rows {
            if is_found(row)? {
                marks.push(rows::mark(row, HEAD_COLUMNS)?);
            }
        }
        Ok(marks)
    }
}

static TALLIES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {HEAD}, page.stream_id, page.stream_type, page.version, page.snapshot_version, \
            tally.last, tally.events \
         FROM tenant_head head LEFT JOIN LATERAL ( \
            SELECT stream_id, stream_type, version, snapshot_version FROM streams \
            WHERE tenant_id = $1 AND stream_id > $2 ORDER BY stream_id LIMIT $3) page ON true \
         LEFT JOIN LATERAL ( \
            SELECT coalesce(max(version), 0) AS last, count(*) AS events FROM events \
            WHERE tenant_id = $1 AND stream_id = page.stream_id) tally ON true \
         WHERE head.tenant_id = $1 ORDER BY page.stream_id"
    )
});

impl Work for TallyRead {
    type Answer = Vec<Tally>;

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_harmless(&self) -> bool {
        self.access == Access::Copy
    }

    async fn run(&self, client: &Client) -> Result<Vec<Tally>, Failure> {
        let limit = integer(self.limit.clamp(1, limits::STREAMS_PER_LOAD) as u64);
        let after = self.after.as_ref().map_or("", StreamId::as_str);
        let parameters: [Parameter<'_>; 3] = [&self.tenant.0, &after, &limit];
        let (_, rows) = query(client, &TALLIES, &parameters, self.tenant, self.access).await?;
        let mut tallies = Vec::with_capacity(rows.len());
        for row in &rows {
            if is_found(row)? {
                tallies.push(rows::tally(row, HEAD_COLUMNS)?);
            }
        }
        Ok(tallies)
    }
}

/// The events of rows, which begin at a column; none from a row that has none.
fn events(rows: &[Row], at: usize) -> Result<Vec<Event>> {
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        if !rows::is_null(row, at)? {
            events.push(rows::event(row, at)?);
        }
    }
    Ok(events)
}
