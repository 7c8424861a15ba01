-- What a plan would do to every live session: the latest forecast of each plan.

CREATE TABLE forecasts (
    tenant_id      uuid NOT NULL,
    plan_id        uuid NOT NULL,
    forecast_id    uuid NOT NULL,
    process        uuid NOT NULL,
    state          text NOT NULL,
    started_at     bigint NOT NULL,
    heard_at       bigint NOT NULL,
    sessions_done  bigint NOT NULL,
    sessions_total bigint NOT NULL,
    basis          text NOT NULL,
    failure        text,
    result         text,
    PRIMARY KEY (tenant_id, plan_id)
);

-- What was foreseen of each session, in pages of some thousands.
CREATE TABLE forecast_pages (
    tenant_id     uuid NOT NULL,
    plan_id       uuid NOT NULL,
    page          bigint NOT NULL,
    first_session uuid NOT NULL,
    last_session  uuid NOT NULL,
    records       bytea NOT NULL,
    PRIMARY KEY (tenant_id, plan_id, page)
);
