-- Jobs that take long have a lane of their own, beside that of all others.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS long boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (project_id, long, priority DESC, next_attempt_at, created_at, id) WHERE state = 'queued';
DROP INDEX IF EXISTS jobs_due;
