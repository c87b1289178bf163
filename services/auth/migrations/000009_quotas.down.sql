DROP TABLE IF EXISTS project_quotas;
DROP SEQUENCE IF EXISTS quota_versions;
