-- Pauses of a tenant's writes, and named consumers of its log.

ALTER TABLE tenants ADD COLUMN term INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN paused_at INTEGER;

CREATE TABLE subscriptions (
    tenant_id       BLOB NOT NULL,
    name            TEXT NOT NULL,
    position        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    acknowledged_at INTEGER,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;
