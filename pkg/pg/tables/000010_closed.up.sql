-- Projects that were purged from this schema: nothing is written for them any
-- more, also by what was in hand or waited. closed_by is the transaction of the
-- purge, which may say that it has purged.
CREATE TABLE IF NOT EXISTS closed_projects (
    project_id bigint      NOT NULL PRIMARY KEY,
    closed_at  timestamptz NOT NULL DEFAULT now(),
    closed_by  xid8        NOT NULL
);
SELECT platform.protect('closed_projects', true);
