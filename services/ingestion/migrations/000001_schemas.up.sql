CREATE TABLE IF NOT EXISTS schemas (
    project_id    bigint      NOT NULL,
    id            bigint      GENERATED ALWAYS AS IDENTITY (MAXVALUE 2147483647),
    team          text        NOT NULL,
    noun          text        NOT NULL,
    fact          text        NOT NULL,
    -- Of the form. One that is registered does not change.
    version       integer     NOT NULL,
    document      jsonb       NOT NULL,
    registered_by text        NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (project_id, id),
    CONSTRAINT schemas_of_a_fact     UNIQUE (project_id, team, noun, fact, version),
    CONSTRAINT schemas_version_counts CHECK (version >= 1)
);
SELECT platform.protect('schemas');
