-- With which instances a project is shared, and what it is called there. The
-- instance is a slug of the catalog; who leaves that leaves here.
CREATE TABLE IF NOT EXISTS shares (
    project_id bigint      NOT NULL,
    instance   text        NOT NULL CHECK (length(instance) <= 100),
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, instance)
);
CREATE INDEX IF NOT EXISTS shares_by_instance ON shares (instance);
-- Another instance asks for all that is shared with it.
SELECT platform.protect('shares', true);
