-- Facts of a project that wait, because an earlier one of their kind found
-- something away or failed: the kind goes on for the other projects. The first of
-- a consumer and project is tried again at next_at, the others follow it.
CREATE TABLE IF NOT EXISTS held_facts (
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    project_id  bigint      NOT NULL,
    consumer    text        NOT NULL,
    stream_seq  bigint      NOT NULL,
    -- By the stream, in nanoseconds: a stream that was made anew counts again.
    stored_ns   bigint      NOT NULL,
    subject     text        NOT NULL,
    headers     jsonb       NOT NULL,
    data        bytea       NOT NULL,
    tries       integer     NOT NULL,
    waits       integer     NOT NULL,
    -- Tries that have begun; more than have ended is what a crash leaves.
    begun       integer     NOT NULL DEFAULT 0,
    held_at     timestamptz NOT NULL DEFAULT now(),
    next_at     timestamptz NOT NULL,
    error       text        NOT NULL DEFAULT '',
    PRIMARY KEY (project_id, consumer, id),
    CONSTRAINT held_facts_once UNIQUE (project_id, consumer, stream_seq, stored_ns)
);
SELECT platform.protect('held_facts', true);
