-- Where a tenant went when it last left this store.
CREATE TABLE tenant_moved (
    tenant_id       uuid   NOT NULL PRIMARY KEY,
    target_store_id text   COLLATE "C" NOT NULL,
    -- The epoch at which the target accepted its first write.
    epoch           bigint NOT NULL,
    -- The end of the log here.
    position        bigint NOT NULL,
    digest          bytea  NOT NULL,
    moved_at        bigint NOT NULL
);
