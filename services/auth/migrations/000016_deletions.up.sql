-- Deletions of projects, and what each service has counted: a row outlives its
-- project, for who deleted it.
ALTER TABLE project_purges ADD COLUMN IF NOT EXISTS parts jsonb NOT NULL DEFAULT '[]';

CREATE TABLE IF NOT EXISTS project_deletions (
    project_id   bigint      NOT NULL PRIMARY KEY,
    requested_by bigint      NOT NULL, -- 0 for nobody of this instance
    requested_at timestamptz NOT NULL,
    finished_at  timestamptz,
    purges       jsonb       NOT NULL DEFAULT '[]', -- once it has finished
    CONSTRAINT project_deletions_proof CHECK ((finished_at IS NULL) = (purges = '[]'))
);
SELECT platform.protect('project_deletions', true);
-- Of what goes on.
INSERT INTO project_deletions (project_id, requested_by, requested_at)
SELECT project_id, coalesce(deleted_by, 0), deleted_at FROM projects WHERE deleted_at IS NOT NULL
ON CONFLICT DO NOTHING;
