CREATE INDEX IF NOT EXISTS jobs_due ON jobs (project_id, priority DESC, next_attempt_at, created_at, id) WHERE state = 'queued';
DROP INDEX IF EXISTS jobs_waiting;
ALTER TABLE jobs DROP COLUMN IF EXISTS long;
