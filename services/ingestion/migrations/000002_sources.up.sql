-- Where documents come from.
CREATE TABLE IF NOT EXISTS sources (
    project_id  bigint      NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY (MAXVALUE 2147483647),
    type        text        NOT NULL,
    name        text        NOT NULL,
    url         text        NOT NULL,
    path        text        NOT NULL,
    schedule    text        NOT NULL, -- cron, in UTC; '' as often as fits the type
    priority    integer     NOT NULL,
    enabled     boolean     NOT NULL,
    config      jsonb       NOT NULL,
    credentials platform.sealed,      -- by which it is asked
    status      text        NOT NULL,
    last_run    timestamptz,
    last_good   timestamptz,
    last_error  text        NOT NULL DEFAULT '',
    documents   bigint      NOT NULL DEFAULT 0,
    faults      integer     NOT NULL DEFAULT 0, -- one after the other
    next_run_at timestamptz,                    -- null: not by itself
    parked_at   timestamptz,                    -- left alone after too many faults
    state       jsonb,                          -- what a visit left for the next one
    job_id      uuid,                           -- of the latest run
    version     integer     NOT NULL,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (project_id, id),
    CONSTRAINT sources_name     CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT sources_status   CHECK (status IN ('pending', 'running', 'success', 'error', 'disabled')),
    CONSTRAINT sources_priority CHECK (priority BETWEEN 1 AND 10)
);
-- A place is there once in a collection. A hash, because an address may be longer
-- than an index entry.
CREATE UNIQUE INDEX IF NOT EXISTS sources_of_a_place ON sources (project_id, type, md5(url), md5(path), coalesce(config ->> 'collection', ''));
CREATE INDEX IF NOT EXISTS sources_due ON sources (next_run_at) WHERE next_run_at IS NOT NULL;
SELECT platform.protect('sources', true);

-- When sources were asked, and what came of it.
CREATE TABLE IF NOT EXISTS runs (
    project_id  bigint      NOT NULL,
    id          uuid        NOT NULL, -- of its job
    source_id   bigint      NOT NULL,
    trigger     text        NOT NULL,
    run_by      text        NOT NULL,
    state       text        NOT NULL,
    queued_at   timestamptz NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz,
    seen        integer     NOT NULL DEFAULT 0,
    taken       integer     NOT NULL DEFAULT 0,
    unchanged   integer     NOT NULL DEFAULT 0,
    elsewhere   integer     NOT NULL DEFAULT 0,
    gone        integer     NOT NULL DEFAULT 0,
    failed      integer     NOT NULL DEFAULT 0,
    bytes       bigint      NOT NULL DEFAULT 0,
    total       integer     NOT NULL DEFAULT 0,
    doing       text        NOT NULL DEFAULT '',
    note        text        NOT NULL DEFAULT '',
    error       text        NOT NULL DEFAULT '',
    PRIMARY KEY (project_id, id),
    FOREIGN KEY (project_id, source_id) REFERENCES sources ON DELETE CASCADE,
    CONSTRAINT runs_trigger CHECK (trigger IN ('schedule', 'manual')),
    CONSTRAINT runs_state   CHECK (state IN ('queued', 'running', 'done', 'failed'))
);
CREATE INDEX IF NOT EXISTS runs_of_a_source ON runs (project_id, source_id, queued_at DESC);
SELECT platform.protect('runs', true);

-- Documents that sources have, each once however many do.
CREATE TABLE IF NOT EXISTS documents (
    project_id bigint      NOT NULL,
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    collection text        NOT NULL,
    place      text        NOT NULL,
    source_id  bigint,               -- whose content it has; null: that of the next one that sees it
    sha256     text        NOT NULL,
    version    integer     NOT NULL,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX IF NOT EXISTS documents_of_a_place ON documents (project_id, collection, md5(place));
CREATE INDEX IF NOT EXISTS documents_of_a_source ON documents (project_id, source_id);
SELECT platform.protect('documents');

-- Which source has which document, by what the source calls it.
CREATE TABLE IF NOT EXISTS sightings (
    project_id  bigint NOT NULL,
    source_id   bigint NOT NULL,
    key         text   NOT NULL,
    mark        text   NOT NULL, -- by which the source tells whether it has changed
    document_id bigint NOT NULL,
    run_id      uuid   NOT NULL, -- that has seen it last
    PRIMARY KEY (project_id, source_id, key),
    FOREIGN KEY (project_id, source_id)   REFERENCES sources ON DELETE CASCADE,
    FOREIGN KEY (project_id, document_id) REFERENCES documents ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS sightings_of_a_document ON sightings (project_id, document_id);
SELECT platform.protect('sightings');
