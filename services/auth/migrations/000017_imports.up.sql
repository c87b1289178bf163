-- Projects that an import fills: a number that nobody knows yet, and no row in
-- projects. When the import has ended well the project is there, with all of it;
-- otherwise everybody is told to purge what came under the number.
CREATE TABLE IF NOT EXISTS project_imports (
    project_id bigint      NOT NULL PRIMARY KEY,
    job_id     uuid        NOT NULL,
    owner_id   bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    began_at   timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS project_imports_job ON project_imports (job_id);
SELECT platform.protect('project_imports', true);
