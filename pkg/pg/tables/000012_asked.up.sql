-- Jobs that callers ask for: held until they are let go or until others are done, once
-- for a key, with what they cost and a log.
ALTER TABLE jobs DROP CONSTRAINT IF EXISTS jobs_state_known;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_known CHECK (state IN ('held', 'queued', 'released', 'running', 'done', 'failed', 'dead', 'cancelled'));
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS unique_key text;
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS needs      uuid[];
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS busy_ms    bigint NOT NULL DEFAULT 0; -- of all tries that ended
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS spent      jsonb  NOT NULL DEFAULT '{}';
CREATE UNIQUE INDEX IF NOT EXISTS jobs_unique ON jobs (project_id, kind, unique_key) WHERE unique_key IS NOT NULL AND finished_at IS NULL;
CREATE INDEX IF NOT EXISTS jobs_needing ON jobs (project_id, id) WHERE state = 'held' AND needs IS NOT NULL;

CREATE TABLE IF NOT EXISTS job_logs (
    project_id bigint      NOT NULL,
    job_id     uuid        NOT NULL,
    seq        integer     NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    level      text        NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    attempt    integer     NOT NULL,
    message    text        NOT NULL,
    PRIMARY KEY (project_id, job_id, seq),
    FOREIGN KEY (project_id, job_id) REFERENCES jobs (project_id, id) ON DELETE CASCADE
);
SELECT platform.protect('job_logs', true);
