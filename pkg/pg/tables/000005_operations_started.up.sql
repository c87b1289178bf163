-- When the run began whose answer an operation has; and operations of a project
-- are listed, newest first.
ALTER TABLE operations ADD COLUMN IF NOT EXISTS started_at timestamptz;
CREATE INDEX IF NOT EXISTS operations_newest ON operations (project_id, created_at DESC, id DESC);
