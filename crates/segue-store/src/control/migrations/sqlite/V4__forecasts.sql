-- What a plan would do to every live session: the latest forecast of each plan.

CREATE TABLE forecasts (
    tenant_id      BLOB NOT NULL,
    plan_id        BLOB NOT NULL,
    forecast_id    BLOB NOT NULL,
    process        BLOB NOT NULL,
    state          TEXT NOT NULL,
    started_at     INTEGER NOT NULL,
    heard_at       INTEGER NOT NULL,
    sessions_done  INTEGER NOT NULL,
    sessions_total INTEGER NOT NULL,
    basis          TEXT NOT NULL,
    failure        TEXT,
    result         TEXT,
    PRIMARY KEY (tenant_id, plan_id)
) STRICT;

-- What was foreseen of each session, in pages of some thousands.
CREATE TABLE forecast_pages (
    tenant_id     BLOB NOT NULL,
    plan_id       BLOB NOT NULL,
    page          INTEGER NOT NULL,
    first_session BLOB NOT NULL,
    last_session  BLOB NOT NULL,
    records       BLOB NOT NULL,
    PRIMARY KEY (tenant_id, plan_id, page)
) STRICT;
