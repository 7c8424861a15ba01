-- Tenant logs. Every key begins with the tenant.
-- UUIDs are 16 bytes, digests 32; times are microseconds since 1970 in UTC.

-- The row that every append advances: gapless positions, the fence and the digest.
CREATE TABLE tenant_head (
    tenant_id   BLOB    NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    digest      BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    mode        TEXT    NOT NULL
        CHECK (mode IN ('open', 'fenced', 'moved', 'copying', 'prepared', 'tombstone')),
    coord_term  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    tenant_id             BLOB    NOT NULL,
    position              INTEGER NOT NULL,
    stream_id             TEXT    NOT NULL,
    stream_type           TEXT    NOT NULL,
    version               INTEGER NOT NULL,
    event_id              BLOB    NOT NULL,
    event_type            TEXT    NOT NULL,
    payload_hash          BLOB    NOT NULL,
    metadata              BLOB    NOT NULL,
    recorded_at           INTEGER NOT NULL,
    -- The events that were appended together share the position of their first.
    append_first_position INTEGER NOT NULL,
    payload               BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX events_by_stream ON events (tenant_id, stream_id, version);
CREATE UNIQUE INDEX events_by_id ON events (tenant_id, event_id);

-- The present state of each stream. A rowid table, because snapshots are large and the index over the
-- facets then refers to a row with one small number.
CREATE TABLE streams (
    id               INTEGER NOT NULL PRIMARY KEY,
    tenant_id        BLOB    NOT NULL,
    stream_id        TEXT    NOT NULL,
    stream_type      TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    -- The facets and the snapshot are of this version; NULL while none was taken.
    snapshot_version INTEGER,
    scenario_id      BLOB,
    scenario_version INTEGER,
    step_id          TEXT,
    channel          TEXT,
    customer_id      TEXT,
    live             INTEGER NOT NULL DEFAULT 0 CHECK (live IN (0, 1)),
    started_at       INTEGER,
    settled          BLOB,
    -- Content hashes with a space between; NULL for none.
    checkpoints      TEXT,
    snapshot         BLOB
) STRICT;

CREATE UNIQUE INDEX streams_by_id ON streams (tenant_id, stream_id);

-- Counting the sessions of a version by step and channel reads this index and nothing else.
CREATE INDEX streams_by_step ON streams (
    tenant_id, stream_type, scenario_id, live, scenario_version, step_id, channel, started_at, settled,
    checkpoints
) WHERE scenario_id IS NOT NULL;

-- Listing newest first, and from a cursor on.
CREATE INDEX streams_by_age ON streams (
    tenant_id, stream_type, ifnull(started_at, 0), stream_id
) WHERE snapshot_version IS NOT NULL;

CREATE INDEX streams_by_customer ON streams (tenant_id, stream_type, customer_id)
    WHERE customer_id IS NOT NULL;

-- The digest every few thousand positions, so that a difference is found by bisection.
CREATE TABLE digests (
    tenant_id BLOB    NOT NULL,
    position  INTEGER NOT NULL,
    digest    BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, position)
) STRICT, WITHOUT ROWID;

-- 'SegE', as schema.rs expects it.
PRAGMA application_id = 1399154501;
PRAGMA user_version = 1;
