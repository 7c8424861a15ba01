-- API keys, and the console sessions that were opened with them.
CREATE TABLE api_keys (
    key_id              uuid   NOT NULL PRIMARY KEY,
    prefix              text   NOT NULL UNIQUE,
    name                text   NOT NULL,
    roles               text   NOT NULL,
    tenant_id           uuid,
    verifier            text   NOT NULL,
    requests_per_second bigint,
    created_at          bigint NOT NULL,
    created_by          text   NOT NULL,
    expires_at          bigint,
    revoked_at          bigint,
    used_at             bigint
);
CREATE INDEX api_keys_newest ON api_keys (created_at, key_id);

CREATE TABLE console_logins (
    token_hash bytea  NOT NULL PRIMARY KEY,
    key_id     uuid   NOT NULL REFERENCES api_keys (key_id),
    begun_at   bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX console_logins_expiry ON console_logins (expires_at);
