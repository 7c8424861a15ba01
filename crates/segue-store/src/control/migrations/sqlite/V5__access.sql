-- API keys, and the console sessions that were opened with them.
CREATE TABLE api_keys (
    key_id              BLOB    NOT NULL PRIMARY KEY,
    prefix              TEXT    NOT NULL UNIQUE,
    name                TEXT    NOT NULL,
    roles               TEXT    NOT NULL,
    tenant_id           BLOB,
    verifier            TEXT    NOT NULL,
    requests_per_second INTEGER,
    created_at          INTEGER NOT NULL,
    created_by          TEXT    NOT NULL,
    expires_at          INTEGER,
    revoked_at          INTEGER,
    used_at             INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_newest ON api_keys (created_at, key_id);

CREATE TABLE console_logins (
    token_hash   BLOB    NOT NULL PRIMARY KEY,
    key_id       BLOB    NOT NULL REFERENCES api_keys (key_id),
    begun_at     INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX console_logins_expiry ON console_logins (expires_at);
