-- The control plane. Ids of 16 bytes, times in microseconds since 1970, everything keyed by tenant first.
-- Large documents are the last column of their row: SQLite reads no overflow page of a column that
-- nobody asks for.

CREATE TABLE tenants (
    tenant_id BLOB NOT NULL PRIMARY KEY,
    store_id  TEXT NOT NULL,
    epoch     INTEGER NOT NULL,
    phase     TEXT NOT NULL,
    placed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tenants_by_store ON tenants (store_id, tenant_id);

CREATE TABLE scenarios (
    tenant_id       BLOB NOT NULL,
    scenario_id     BLOB NOT NULL,
    first_version   INTEGER NOT NULL,
    current_version INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, scenario_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX scenarios_newest ON scenarios (tenant_id, created_at, scenario_id);

-- A row outlives its document, so that the number of a removed version is never given out again.
CREATE TABLE versions (
    tenant_id     BLOB NOT NULL,
    scenario_id   BLOB NOT NULL,
    version       INTEGER NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT,
    checksum      TEXT NOT NULL,
    steps         INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    replaced_at   INTEGER,
    removed_at    INTEGER,
    document      TEXT,
    PRIMARY KEY (tenant_id, scenario_id, version)
) STRICT;

CREATE TABLE plans (
    tenant_id    BLOB NOT NULL,
    plan_id      BLOB NOT NULL,
    scenario_id  BLOB NOT NULL,
    from_version INTEGER NOT NULL,
    to_version   INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    status       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    closed_at    INTEGER,
    lifecycle    TEXT NOT NULL,
    overview     TEXT NOT NULL,
    policies     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, plan_id)
) STRICT;

CREATE UNIQUE INDEX plans_open ON plans (tenant_id, scenario_id, from_version, to_version)
    WHERE status IN ('pending', 'approved');
CREATE INDEX plans_newest ON plans (tenant_id, created_at, plan_id);
CREATE INDEX plans_of_scenario ON plans (tenant_id, scenario_id, created_at, plan_id);
CREATE INDEX plans_of_status ON plans (tenant_id, status, created_at, plan_id);

CREATE TABLE plan_documents (
    tenant_id BLOB NOT NULL,
    plan_id   BLOB NOT NULL,
    summary   TEXT NOT NULL,
    map       TEXT NOT NULL,
    PRIMARY KEY (tenant_id, plan_id)
) STRICT;

CREATE TABLE deployments (
    tenant_id      BLOB NOT NULL,
    scenario_id    BLOB NOT NULL,
    ordinal        INTEGER NOT NULL,
    plan_id        BLOB NOT NULL,
    from_version   INTEGER NOT NULL,
    to_version     INTEGER NOT NULL,
    from_checksum  TEXT NOT NULL,
    to_checksum    TEXT NOT NULL,
    deployed_at    INTEGER NOT NULL,
    marks_sessions INTEGER NOT NULL,
    withdrawn_at   INTEGER,
    policies       TEXT NOT NULL,
    PRIMARY KEY (tenant_id, scenario_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX deployments_by_plan ON deployments (tenant_id, plan_id);

CREATE TABLE fields (
    tenant_id  BLOB NOT NULL,
    name       TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE field_generations (
    tenant_id  BLOB NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    entry      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id  BLOB NOT NULL,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    details    TEXT NOT NULL
) STRICT;

CREATE INDEX audit_newest ON audit (tenant_id, entry);
CREATE INDEX audit_of_subject ON audit (tenant_id, subject, subject_id, entry);
