-- Where a tenant went when it last left this store.
CREATE TABLE tenant_moved (
    tenant_id       BLOB    NOT NULL PRIMARY KEY,
    target_store_id TEXT    NOT NULL,
    -- The epoch at which the target accepted its first write.
    epoch           INTEGER NOT NULL,
    -- The end of the log here.
    position        INTEGER NOT NULL,
    digest          BLOB    NOT NULL,
    moved_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;
