-- Work that takes longer than a request. The row is the truth; a message in
-- the stream only says that the row may be taken now.
CREATE TABLE IF NOT EXISTS jobs (
    id               uuid        PRIMARY KEY,
    project_id       bigint      NOT NULL,
    kind             text        NOT NULL,
    payload          jsonb       NOT NULL DEFAULT '{}',
    principal        text        NOT NULL DEFAULT '',
    headers          jsonb       NOT NULL DEFAULT '{}',
    state            text        NOT NULL DEFAULT 'queued'
                     CONSTRAINT jobs_state_known CHECK (state IN ('queued', 'released', 'running', 'done', 'failed', 'dead', 'cancelled')),
    priority         integer     NOT NULL DEFAULT 0,
    progress         integer     NOT NULL DEFAULT 0,
    total            integer     NOT NULL DEFAULT 0,
    message          text        NOT NULL DEFAULT '',
    result           jsonb,
    error            text        NOT NULL DEFAULT '',
    attempts         integer     NOT NULL DEFAULT 0,
    max_attempts     integer     NOT NULL DEFAULT 5 CHECK (max_attempts > 0),
    releases         integer     NOT NULL DEFAULT 0,
    run              uuid,
    cancel_requested boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    released_at      timestamptz,
    started_at       timestamptz,
    lease_until      timestamptz,
    finished_at      timestamptz,
    CONSTRAINT jobs_of_project UNIQUE (project_id, id),
    CONSTRAINT jobs_finished_has_time CHECK ((state IN ('done', 'failed', 'dead', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT jobs_running_has_lease CHECK ((state = 'running') = (lease_until IS NOT NULL AND run IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS jobs_queued ON jobs (project_id, priority DESC, created_at, id) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS jobs_in_flight ON jobs (project_id) WHERE state IN ('released', 'running');
CREATE INDEX IF NOT EXISTS jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
SELECT platform.protect('jobs', true);

-- Steps of a job that are done, with what they yielded: a second run takes the
-- result and does not do the work again.
CREATE TABLE IF NOT EXISTS job_steps (
    project_id bigint      NOT NULL,
    job_id     uuid        NOT NULL,
    name       text        NOT NULL,
    output     jsonb,
    saved_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, job_id, name),
    FOREIGN KEY (project_id, job_id) REFERENCES jobs (project_id, id) ON DELETE CASCADE
);
SELECT platform.protect('job_steps', true);
