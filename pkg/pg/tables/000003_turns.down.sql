CREATE INDEX IF NOT EXISTS jobs_queued ON jobs (project_id, priority DESC, created_at, id) WHERE state = 'queued';
DROP INDEX IF EXISTS jobs_due;
