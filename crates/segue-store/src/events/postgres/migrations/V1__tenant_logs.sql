-- Tenant logs. Every key begins with the tenant and nothing refers across tenants, so that the tables can be
-- distributed by tenant_id. There are no sequences: the head row numbers its tenant's log.
-- Times are microseconds since 1970 in UTC. Texts are compared byte by byte, as in every other store.

-- The row that every append advances: gapless positions, the fence and the digest. None of what changes is
-- indexed, and pages keep room, so that each new version of the row stays on its page (HOT).
CREATE TABLE tenant_head (
    tenant_id   uuid   NOT NULL PRIMARY KEY,
    position    bigint NOT NULL,
    epoch       bigint NOT NULL,
    coord_term  bigint NOT NULL,
    digest      bytea  NOT NULL,
    mode        text   NOT NULL
        CHECK (mode IN ('open', 'fenced', 'moved', 'copying', 'prepared', 'tombstone'))
) WITH (fillfactor = 20);

CREATE TABLE events (
    tenant_id             uuid   NOT NULL,
    event_id              uuid   NOT NULL,
    position              bigint NOT NULL,
    -- The events that were appended together share the position of their first.
    append_first_position bigint NOT NULL,
    version               bigint NOT NULL,
    recorded_at           bigint NOT NULL,
    stream_id             text   COLLATE "C" NOT NULL,
    stream_type           text   COLLATE "C" NOT NULL,
    event_type            text   COLLATE "C" NOT NULL,
    payload_hash          bytea  NOT NULL,
    metadata              bytea  NOT NULL,
    -- NULL since it was erased.
    payload               bytea,
    PRIMARY KEY (tenant_id, position)
);

CREATE UNIQUE INDEX events_by_stream ON events (tenant_id, stream_id, version);
CREATE UNIQUE INDEX events_by_id ON events (tenant_id, event_id);

-- The present state of each stream. Pages keep room, so that a turn that changes nothing that is indexed
-- writes no index.
CREATE TABLE streams (
    tenant_id        uuid    NOT NULL,
    version          bigint  NOT NULL,
    -- The facets and the snapshot are of this version; NULL while none was taken.
    snapshot_version bigint,
    -- Where a list shows it: its started_at, or 0; NULL while no snapshot was taken. snapshot_version would
    -- say the same, but changes with every snapshot, and an index that mentions it would have to follow.
    listed_at        bigint,
    started_at       bigint,
    scenario_version bigint,
    scenario_id      uuid,
    settled          uuid,
    live             boolean NOT NULL DEFAULT false,
    stream_id        text    COLLATE "C" NOT NULL,
    stream_type      text    COLLATE "C" NOT NULL,
    step_id          text    COLLATE "C",
    channel          text    COLLATE "C",
    customer_id      text    COLLATE "C",
    -- Content hashes with a space between; NULL for none. A list too long for an index stands in
    -- checkpoints_long, and here '#' and its hash.
    checkpoints      text    COLLATE "C",
    checkpoints_long text    COLLATE "C",
    snapshot         bytea,
    PRIMARY KEY (tenant_id, stream_id)
) WITH (fillfactor = 85);

-- Counting the sessions of a version by step and channel reads this index.
CREATE INDEX streams_by_step ON streams (
    tenant_id, stream_type, scenario_id, live, scenario_version, step_id, channel, started_at, settled,
    checkpoints
) WHERE scenario_id IS NOT NULL;

-- Listing newest first, and from a cursor on.
CREATE INDEX streams_by_age ON streams (tenant_id, stream_type, listed_at, stream_id)
    WHERE listed_at IS NOT NULL;

CREATE INDEX streams_by_customer ON streams (tenant_id, stream_type, customer_id)
    WHERE customer_id IS NOT NULL;

-- The digest every few thousand positions, so that a difference is found by bisection.
CREATE TABLE digests (
    tenant_id uuid   NOT NULL,
    position  bigint NOT NULL,
    digest    bytea  NOT NULL,
    PRIMARY KEY (tenant_id, position)
);
