-- Where the vectors of a project are searched: in the memory of the processes, or
-- by pgvector, at full precision or with its graph at half. Where the two differ what
-- the chosen one needs is being made.
ALTER TABLE models ADD COLUMN IF NOT EXISTS backend text NOT NULL DEFAULT 'memory';
ALTER TABLE models ADD COLUMN IF NOT EXISTS serving text NOT NULL DEFAULT 'memory';

-- The vectors of projects that are searched by pgvector, once more as its type.
-- The column for them, embedding, comes with the extension: see pgvector.sql.
CREATE TABLE IF NOT EXISTS vectors (
    project_id bigint  NOT NULL,
    model      text    NOT NULL,
    chunk_id   bigint  NOT NULL,
    dims       integer NOT NULL,
    half       boolean NOT NULL, -- which graph it is in; while a project moves, in both
    PRIMARY KEY (project_id, model, chunk_id, half),
    CONSTRAINT vectors_of_embedding FOREIGN KEY (project_id, chunk_id, model) REFERENCES embeddings (project_id, chunk_id, model) ON DELETE CASCADE
);
SELECT platform.protect('vectors');
