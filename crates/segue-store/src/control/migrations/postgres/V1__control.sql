-- The control plane. Times in microseconds since 1970; documents, and texts that people choose, are JSON
-- text, for PostgreSQL's own text cannot hold every character. Every key begins with the tenant and no
-- constraint reaches across tenants, so that the tables can be distributed by tenant_id.

-- Whoever decides something about a tenant locks its row here first: decisions of one tenant come one
-- after the other, whatever they are about. It also numbers the lines of the tenant's audit, without
-- gaps, and tells who missed a notification what was decided of late.
CREATE TABLE decisions (
    tenant_id  uuid NOT NULL PRIMARY KEY,
    entries    bigint NOT NULL,
    decided_at timestamptz NOT NULL
);

CREATE INDEX decisions_of_late ON decisions (decided_at);

CREATE TABLE tenants (
    tenant_id uuid NOT NULL PRIMARY KEY,
    store_id  text COLLATE "C" NOT NULL,
    epoch     bigint NOT NULL,
    phase     text NOT NULL,
    term      bigint NOT NULL,
    paused_at bigint,
    placed_at bigint NOT NULL
);

CREATE INDEX tenants_by_store ON tenants (store_id, tenant_id);

CREATE TABLE scenarios (
    tenant_id       uuid NOT NULL,
    scenario_id     uuid NOT NULL,
    first_version   bigint NOT NULL,
    current_version bigint NOT NULL,
    generation      bigint NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    PRIMARY KEY (tenant_id, scenario_id)
);

CREATE INDEX scenarios_newest ON scenarios (tenant_id, created_at, scenario_id);

-- A row outlives its document, so that the number of a removed version is never given out again.
CREATE TABLE versions (
    tenant_id     uuid NOT NULL,
    scenario_id   uuid NOT NULL,
    version       bigint NOT NULL,
    name          text NOT NULL,
    description   text,
    checksum      text NOT NULL,
    steps         bigint NOT NULL,
    registered_at bigint NOT NULL,
    replaced_at   bigint,
    removed_at    bigint,
    document      text,
    PRIMARY KEY (tenant_id, scenario_id, version)
);

CREATE TABLE plans (
    tenant_id    uuid NOT NULL,
    plan_id      uuid NOT NULL,
    scenario_id  uuid NOT NULL,
    from_version bigint NOT NULL,
    to_version   bigint NOT NULL,
    revision     bigint NOT NULL,
    status       text NOT NULL,
    created_at   bigint NOT NULL,
    created_by   text NOT NULL,
    closed_at    bigint,
    lifecycle    text NOT NULL,
    overview     text NOT NULL,
    policies     text NOT NULL,
    PRIMARY KEY (tenant_id, plan_id)
);

CREATE UNIQUE INDEX plans_open ON plans (tenant_id, scenario_id, from_version, to_version)
    WHERE status IN ('pending', 'approved');
CREATE INDEX plans_newest ON plans (tenant_id, created_at, plan_id);
CREATE INDEX plans_of_scenario ON plans (tenant_id, scenario_id, created_at, plan_id);
CREATE INDEX plans_of_status ON plans (tenant_id, status, created_at, plan_id);

CREATE TABLE plan_documents (
    tenant_id uuid NOT NULL,
    plan_id   uuid NOT NULL,
    summary   text NOT NULL,
    map       text NOT NULL,
    PRIMARY KEY (tenant_id, plan_id)
);

CREATE TABLE deployments (
    tenant_id      uuid NOT NULL,
    scenario_id    uuid NOT NULL,
    ordinal        bigint NOT NULL,
    plan_id        uuid NOT NULL,
    from_version   bigint NOT NULL,
    to_version     bigint NOT NULL,
    from_checksum  text NOT NULL,
    to_checksum    text NOT NULL,
    deployed_at    bigint NOT NULL,
    marks_sessions boolean NOT NULL,
    withdrawn_at   bigint,
    policies       text NOT NULL,
    PRIMARY KEY (tenant_id, scenario_id, ordinal)
);

CREATE UNIQUE INDEX deployments_by_plan ON deployments (tenant_id, plan_id);

CREATE TABLE fields (
    tenant_id  uuid NOT NULL,
    name       text COLLATE "C" NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE field_generations (
    tenant_id  uuid NOT NULL PRIMARY KEY,
    generation bigint NOT NULL
);

CREATE TABLE subscriptions (
    tenant_id       uuid NOT NULL,
    name            text COLLATE "C" NOT NULL,
    position        bigint NOT NULL,
    created_at      bigint NOT NULL,
    acknowledged_at bigint,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE audit (
    tenant_id  uuid NOT NULL,
    entry      bigint NOT NULL,
    at         bigint NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    subject    text NOT NULL,
    subject_id text NOT NULL,
    details    text NOT NULL,
    PRIMARY KEY (tenant_id, entry)
);

CREATE INDEX audit_of_subject ON audit (tenant_id, subject, subject_id, entry);
