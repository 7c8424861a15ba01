-- A payload may be erased: it is NULL from then on, and payload_hash stays.
--
-- Only the constraint goes; no row changes. SQLite has no statement for that, and copying the table would
-- take minutes and twice the disk for a large log. Editing the stored text of the table's definition is the
-- way that https://sqlite.org/lang_altertable.html gives for removing a NOT NULL constraint.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema
SET sql = replace(sql, 'payload               BLOB    NOT NULL,', 'payload               BLOB,')
WHERE type = 'table' AND name = 'events';

-- A change of the schema by a statement makes every other connection read the definitions anew.
CREATE TABLE definitions_have_changed (id INTEGER);
DROP TABLE definitions_have_changed;

PRAGMA writable_schema = RESET;

PRAGMA user_version = 2;
