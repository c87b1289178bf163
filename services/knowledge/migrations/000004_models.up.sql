-- The embedding model of a project: the one that it has chosen, as settings name
-- it ('' follows the instance), and the one whose vectors its searches use, as
-- embeddings name it ('' while there are none). Where they differ the vectors of
-- the chosen one are being made.
CREATE TABLE IF NOT EXISTS models (
    project_id bigint      PRIMARY KEY,
    chosen     text        NOT NULL DEFAULT '',
    searched   text        NOT NULL DEFAULT '',
    tidy       boolean     NOT NULL DEFAULT true, -- there are no vectors of models before
    updated_at timestamptz NOT NULL DEFAULT now()
);
SELECT platform.protect('models', true);

-- Whether any document still waits for the vectors of a model is asked after each.
CREATE INDEX IF NOT EXISTS documents_by_model ON documents (project_id, model) WHERE state = 'indexed';
