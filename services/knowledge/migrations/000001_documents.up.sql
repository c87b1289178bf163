-- generations counts the changes of a project's documents. Its row is locked
-- by the last statement of every change until the change commits, so whoever
-- reads generation g sees every change up to g.
CREATE TABLE IF NOT EXISTS generations (
    project_id bigint  PRIMARY KEY,
    generation bigint  NOT NULL DEFAULT 0,
    -- Removals up to here have been forgotten; an index that is older starts over.
    floor      bigint  NOT NULL DEFAULT 0,
    -- The project is being deleted; nothing is accepted any more.
    closed     boolean NOT NULL DEFAULT false
);
SELECT platform.protect('generations', true);

-- The bytes of documents, once per content: in the object store, or here when
-- they came as text.
CREATE TABLE IF NOT EXISTS blobs (
    project_id bigint      NOT NULL,
    sha256     text        NOT NULL,
    size       bigint      NOT NULL,
    bucket     text        NOT NULL DEFAULT '',
    name       text        NOT NULL DEFAULT '',
    body       bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, sha256),
    CONSTRAINT blobs_are_somewhere CHECK ((body IS NULL) = (name <> ''))
);
SELECT platform.protect('blobs');

-- Objects that no document refers to, to be deleted from the object store.
CREATE TABLE IF NOT EXISTS trash (
    project_id bigint      NOT NULL,
    bucket     text        NOT NULL,
    name       text        NOT NULL,
    due_at     timestamptz NOT NULL,
    PRIMARY KEY (bucket, name)
);
CREATE INDEX IF NOT EXISTS trash_due ON trash (due_at);
SELECT platform.protect('trash', true);

CREATE TABLE IF NOT EXISTS documents (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    bigint      NOT NULL,
    collection    text        NOT NULL,
    source        text        NOT NULL, -- name under which it is replaced
    title         text        NOT NULL,
    titled        boolean     NOT NULL, -- the title was given, not found in the content
    category      text        NOT NULL,
    repository_id bigint,
    technology_id bigint,
    kind          text        NOT NULL,
    language      text        NOT NULL DEFAULT '',
    content_type  text        NOT NULL,
    size          bigint      NOT NULL,
    sha256        text        NOT NULL,
    version       integer     NOT NULL DEFAULT 1,
    state         text        NOT NULL CONSTRAINT documents_state_known CHECK (state IN ('indexing', 'indexed', 'failed')),
    extracted     boolean     NOT NULL, -- the chunks are those of this version
    reason        text        NOT NULL DEFAULT '', -- of a failure, a stable word
    error         text        NOT NULL DEFAULT '',
    chunks        integer     NOT NULL DEFAULT 0,
    model         text        NOT NULL DEFAULT '', -- that made the vectors of all chunks
    wanted        text        NOT NULL DEFAULT '', -- model of the job that is queued or running
    job_id        uuid,
    generation    bigint      NOT NULL DEFAULT 0, -- of the last change
    created_by    bigint      NOT NULL DEFAULT 0,
    principal     text        NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT documents_of_project UNIQUE (project_id, id),
    -- Deferred, so that every change locks the document before its bytes.
    CONSTRAINT documents_have_bytes FOREIGN KEY (project_id, sha256) REFERENCES blobs (project_id, sha256) DEFERRABLE INITIALLY DEFERRED
);
-- A hash, because a name may be longer than an index entry.
CREATE UNIQUE INDEX IF NOT EXISTS documents_by_source ON documents (project_id, collection, md5(source));
CREATE INDEX IF NOT EXISTS documents_newest ON documents (project_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS documents_changed ON documents (project_id, generation);
CREATE INDEX IF NOT EXISTS documents_by_content ON documents (project_id, sha256);
CREATE INDEX IF NOT EXISTS documents_by_category ON documents (project_id, category);
SELECT platform.protect('documents', true);

-- A chunk is a text below a heading path below a title; with another text it is
-- another chunk. hash covers all three, so that equal chunks of two versions of
-- a document are one row, with one vector.
CREATE TABLE IF NOT EXISTS chunks (
    id          bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id  bigint   NOT NULL,
    document_id bigint   NOT NULL,
    ordinal     integer  NOT NULL,
    hash        bytea    NOT NULL,
    path        text     NOT NULL, -- names joined by the unit separator, 0x1f
    symbol      text     NOT NULL DEFAULT '',
    kind        text     NOT NULL,
    line        integer  NOT NULL DEFAULT 0,
    tokens      integer  NOT NULL,
    overlap     integer  NOT NULL DEFAULT 0,
    body        text     NOT NULL,
    CONSTRAINT chunks_of_project UNIQUE (project_id, id),
    CONSTRAINT chunks_in_order UNIQUE (document_id, ordinal) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT chunks_of_document FOREIGN KEY (project_id, document_id) REFERENCES documents (project_id, id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (project_id, document_id);
SELECT platform.protect('chunks');

-- Vectors as little-endian float32, of unit length. A chunk may have those of
-- two models while the second is being made.
CREATE TABLE IF NOT EXISTS embeddings (
    project_id bigint NOT NULL,
    chunk_id   bigint NOT NULL,
    model      text   NOT NULL,
    vector     bytea  NOT NULL,
    PRIMARY KEY (project_id, chunk_id, model),
    CONSTRAINT embeddings_of_chunk FOREIGN KEY (project_id, chunk_id) REFERENCES chunks (project_id, id) ON DELETE CASCADE
);
SELECT platform.protect('embeddings');

-- Documents that are gone, for indexes that have not heard of it.
CREATE TABLE IF NOT EXISTS removals (
    project_id  bigint      NOT NULL,
    document_id bigint      NOT NULL,
    generation  bigint      NOT NULL,
    removed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, document_id)
);
CREATE INDEX IF NOT EXISTS removals_since ON removals (project_id, generation);
SELECT platform.protect('removals', true);
