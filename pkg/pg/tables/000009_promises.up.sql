-- Facts that are said at due_at, unless whoever promised them takes them back
-- before: what a call has changed is told although its end was cut off.
CREATE TABLE IF NOT EXISTS outbox_promises (
    project_id  bigint      NOT NULL,
    message_id  uuid        NOT NULL,
    subject     text        NOT NULL,
    headers     jsonb       NOT NULL,
    data        bytea       NOT NULL,
    due_at      timestamptz NOT NULL,
    PRIMARY KEY (project_id, message_id)
);
CREATE INDEX IF NOT EXISTS outbox_promises_due ON outbox_promises (due_at);
SELECT platform.protect('outbox_promises', true);
