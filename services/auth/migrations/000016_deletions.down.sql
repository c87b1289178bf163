DROP TABLE IF EXISTS project_deletions;
ALTER TABLE project_purges DROP COLUMN IF EXISTS parts;
