//! The statements that every append uses, each prepared once on a connection.

use std::sync::LazyLock;

use super::columns::Columns;
use super::rows::{EVENT, HEAD};

/// Locks the head of a tenant and reads it. Writers of one tenant wait here for each other.
pub(super) const LOCK_HEAD: &str = "SELECT position, digest, epoch, mode, coord_term \
    FROM tenant_head WHERE tenant_id = $1 FOR NO KEY UPDATE";

/// Makes a head, unless there is one by now.
pub(super) const CREATE_HEAD: &str = "INSERT INTO tenant_head \
        (tenant_id, position, digest, epoch, mode, coord_term) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (tenant_id) DO NOTHING";

/// Changes everything about a head that is locked.
pub(super) const CHANGE_HEAD: &str = "UPDATE tenant_head SET position = $2, digest = $3, epoch = $4, \
    mode = $5, coord_term = $6 WHERE tenant_id = $1";

/// Swaps a head that is as expected, and reads it.
pub(super) const SWAP_HEAD: &str = "UPDATE tenant_head SET epoch = $5, mode = $6, coord_term = $4 \
    WHERE tenant_id = $1 AND epoch = $2 AND mode = $3 AND coord_term <= $4 \
        AND ($7::bigint IS NULL OR (position = $7 AND digest = $8)) \
    RETURNING position, digest, epoch, mode, coord_term";

/// Types and versions of streams.
pub(super) const STREAMS: &str = "SELECT stream_id, stream_type, version FROM streams \
    WHERE tenant_id = $1 AND stream_id = ANY($2)";

/// A head, and types and versions of streams beside it.
pub(super) static HEAD_AND_STREAMS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {HEAD}, streams.stream_id, streams.stream_type, streams.version \
         FROM tenant_head head LEFT JOIN streams \
            ON streams.tenant_id = $1 AND streams.stream_id = ANY($2) WHERE head.tenant_id = $1"
    )
});

/// Events by their ids, without payloads, each with the group of the event that follows it.
pub(super) static KNOWN_EVENTS: LazyLock<String> = LazyLock::new(|| {
    let columns = EVENT.replace(" payload,", " NULL::bytea AS payload,");
    format!(
        "SELECT {columns}, (SELECT beyond.append_first_position FROM events beyond \
            WHERE beyond.tenant_id = $1 AND beyond.position = known.position + 1) AS beyond \
         FROM events known WHERE tenant_id = $1 AND event_id = ANY($2)"
    )
});

/// Writes accepted appends after the head that they were decided on, or nothing: see
/// [`Columns::statement`].
pub(super) static WRITE: LazyLock<String> = LazyLock::new(Columns::statement);

/// The same for several tenants: see [`Columns::joint_statement`].
pub(super) static WRITE_JOINTLY: LazyLock<String> = LazyLock::new(Columns::joint_statement);
