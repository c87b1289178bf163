-- Jobs are released in the order in which they became due, so that one that has
-- had its turn goes behind those that wait.
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (project_id, priority DESC, next_attempt_at, created_at, id) WHERE state = 'queued';
DROP INDEX IF EXISTS jobs_queued;
