DROP TABLE IF EXISTS project_purges;
DROP TABLE IF EXISTS memberships;
DROP SEQUENCE IF EXISTS membership_versions;
DROP TABLE IF EXISTS projects;
