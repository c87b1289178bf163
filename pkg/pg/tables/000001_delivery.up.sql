-- The tables that every service has: what it says (outbox), what it has heard
-- (inbox), what it answered (operations), what it still has to do (jobs).

-- Events that committed with the state that they tell of. A row is waiting
-- until published_at is set; parked_at marks one that the stream will never
-- accept.
CREATE TABLE IF NOT EXISTS outbox (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id    uuid        NOT NULL,
    project_id    bigint      NOT NULL,
    subject       text        NOT NULL,
    headers       jsonb       NOT NULL DEFAULT '{}',
    data          bytea       NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    published_at  timestamptz,
    stream_epoch  text,
    stream_seq    bigint,
    parked_at     timestamptz,
    error         text,
    CONSTRAINT outbox_published_once CHECK (published_at IS NULL OR parked_at IS NULL)
);
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (id) WHERE published_at IS NULL AND parked_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS outbox_parked ON outbox (id) WHERE parked_at IS NOT NULL;
-- Rows live for seconds in the waiting index: vacuum must keep up with them.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
SELECT platform.protect('outbox', true);

-- Messages whose effect is committed, per consumer.
CREATE TABLE IF NOT EXISTS inbox (
    project_id  bigint      NOT NULL,
    consumer    text        NOT NULL,
    message_id  text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, consumer, message_id)
);
CREATE INDEX IF NOT EXISTS inbox_received ON inbox (received_at);
SELECT platform.protect('inbox', true);

-- First answers of commands, so that a second delivery gets the same one.
CREATE TABLE IF NOT EXISTS operations (
    id          uuid        NOT NULL,
    project_id  bigint      NOT NULL,
    principal   text        NOT NULL,
    operation   text        NOT NULL,
    fingerprint bytea       NOT NULL,
    status      integer     NOT NULL,
    headers     jsonb       NOT NULL DEFAULT '{}',
    body        bytea,
    error       jsonb,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, id)
);
CREATE INDEX IF NOT EXISTS operations_id ON operations (id);
CREATE INDEX IF NOT EXISTS operations_finished ON operations (finished_at);
SELECT platform.protect('operations', true);
