-- Judged questions of a project, in sets.
CREATE TABLE IF NOT EXISTS judged_sets (
    project_id bigint      NOT NULL,
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    name       text        NOT NULL,
    questions  integer     NOT NULL DEFAULT 0,
    judgements integer     NOT NULL DEFAULT 0,
    principal  text        NOT NULL DEFAULT '', -- who imported it last
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, id),
    CONSTRAINT judged_sets_by_name UNIQUE (project_id, name)
);
SELECT platform.protect('judged_sets');

-- relevant is a list of {"source", "heading", "grade"}.
CREATE TABLE IF NOT EXISTS judged_questions (
    project_id bigint NOT NULL,
    set_name   text   NOT NULL,
    question   text   NOT NULL, -- its id
    ordinal    bigint GENERATED ALWAYS AS IDENTITY,
    body       text   NOT NULL,
    relevant   jsonb  NOT NULL,
    PRIMARY KEY (project_id, set_name, question),
    CONSTRAINT judged_questions_of_set FOREIGN KEY (project_id, set_name) REFERENCES judged_sets (project_id, name) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS judged_questions_in_order ON judged_questions (project_id, set_name, ordinal);
SELECT platform.protect('judged_questions');

-- What was asked in which ways, and what came of it.
CREATE TABLE IF NOT EXISTS evaluations (
    project_id  bigint      NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    set_name    text        NOT NULL,
    label       text        NOT NULL DEFAULT '',
    collection  text        NOT NULL DEFAULT '',
    settings    jsonb       NOT NULL,
    tune        boolean     NOT NULL,
    state       text        NOT NULL CONSTRAINT evaluations_state_known CHECK (state IN ('queued', 'running', 'done', 'failed')),
    error       text        NOT NULL DEFAULT '',
    asked       integer     NOT NULL DEFAULT 0,
    total       integer     NOT NULL,
    model       text        NOT NULL DEFAULT '',
    generation  bigint      NOT NULL DEFAULT 0,
    curve       jsonb       NOT NULL DEFAULT '[]',
    report      jsonb,
    job_id      uuid,
    principal   text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX IF NOT EXISTS evaluations_newest ON evaluations (project_id, created_at DESC, id DESC);
SELECT platform.protect('evaluations', true);

-- names are those of what was found, best first, a line each.
CREATE TABLE IF NOT EXISTS evaluation_answers (
    project_id    bigint  NOT NULL,
    evaluation_id bigint  NOT NULL,
    setting       integer NOT NULL, -- its place in the report
    question      text    NOT NULL,
    names         text    NOT NULL,
    figures       jsonb,
    PRIMARY KEY (project_id, evaluation_id, setting, question),
    CONSTRAINT evaluation_answers_of_one FOREIGN KEY (project_id, evaluation_id) REFERENCES evaluations (project_id, id) ON DELETE CASCADE
);
SELECT platform.protect('evaluation_answers');
