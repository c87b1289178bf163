DROP INDEX IF EXISTS operations_newest;
ALTER TABLE operations DROP COLUMN IF EXISTS started_at;
