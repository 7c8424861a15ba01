-- When a rotated key ends, apart from when it would have ended by itself: what takes its place inherits the latter.
ALTER TABLE api_keys ADD COLUMN superseded_at INTEGER;
