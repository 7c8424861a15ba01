-- Moves of tenants between stores.

-- The highest epoch that was ever given out, and the move that is under way, as JSON.
ALTER TABLE tenants ADD COLUMN minted bigint NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN moving text;
UPDATE tenants SET minted = epoch;

CREATE TABLE tenant_migrations (
    tenant_id       uuid NOT NULL,
    migration_id    uuid NOT NULL,
    source_store_id text COLLATE "C" NOT NULL,
    target_store_id text COLLATE "C" NOT NULL,
    state           text NOT NULL,
    is_active       boolean NOT NULL,
    reverses        uuid,
    created_by      text NOT NULL,
    created_at      bigint NOT NULL,
    started_at      bigint,
    completed_at    bigint,
    coordinator     uuid,
    beats           bigint NOT NULL,
    progress        text NOT NULL,
    config          text NOT NULL,
    journal         text NOT NULL,
    PRIMARY KEY (tenant_id, migration_id)
);

CREATE INDEX migrations_by_id ON tenant_migrations (migration_id);
CREATE UNIQUE INDEX migrations_active ON tenant_migrations (tenant_id) WHERE is_active;
CREATE INDEX migrations_newest ON tenant_migrations (created_at, migration_id);
CREATE INDEX migrations_of_source ON tenant_migrations (source_store_id, tenant_id);
CREATE INDEX migrations_of_target ON tenant_migrations (target_store_id, tenant_id);

-- What each process has failed to write to a target.
CREATE TABLE mirror_failures (
    tenant_id    uuid NOT NULL,
    migration_id uuid NOT NULL,
    process      uuid NOT NULL,
    stats        text NOT NULL,
    PRIMARY KEY (tenant_id, migration_id, process)
);

-- Which database each store was when it was last looked at.
CREATE TABLE incarnations (
    store_id    text COLLATE "C" NOT NULL PRIMARY KEY,
    incarnation text NOT NULL
);
