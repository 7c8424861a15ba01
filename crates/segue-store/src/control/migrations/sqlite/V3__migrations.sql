-- Moves of tenants between stores.

-- The highest epoch that was ever given out, and the move that is under way, as JSON.
ALTER TABLE tenants ADD COLUMN minted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN moving TEXT;
UPDATE tenants SET minted = epoch;

CREATE TABLE tenant_migrations (
    tenant_id       BLOB NOT NULL,
    migration_id    BLOB NOT NULL,
    source_store_id TEXT NOT NULL,
    target_store_id TEXT NOT NULL,
    state           TEXT NOT NULL,
    is_active       INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    reverses        BLOB,
    created_by      TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    completed_at    INTEGER,
    coordinator     BLOB,
    beats           INTEGER NOT NULL,
    progress        TEXT NOT NULL,
    config          TEXT NOT NULL,
    journal         TEXT NOT NULL,
    PRIMARY KEY (tenant_id, migration_id)
) STRICT;

CREATE UNIQUE INDEX migrations_by_id ON tenant_migrations (migration_id);
CREATE UNIQUE INDEX migrations_active ON tenant_migrations (tenant_id) WHERE is_active = 1;
CREATE INDEX migrations_newest ON tenant_migrations (created_at, migration_id);
CREATE INDEX migrations_of_source ON tenant_migrations (source_store_id, tenant_id);
CREATE INDEX migrations_of_target ON tenant_migrations (target_store_id, tenant_id);

-- What each process has failed to write to a target.
CREATE TABLE mirror_failures (
    tenant_id    BLOB NOT NULL,
    migration_id BLOB NOT NULL,
    process      BLOB NOT NULL,
    stats        TEXT NOT NULL,
    PRIMARY KEY (tenant_id, migration_id, process)
) STRICT, WITHOUT ROWID;

-- Which database each store was when it was last looked at.
CREATE TABLE incarnations (
    store_id    TEXT NOT NULL PRIMARY KEY,
    incarnation TEXT NOT NULL
) STRICT, WITHOUT ROWID;
