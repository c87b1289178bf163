DROP INDEX IF EXISTS documents_by_model;
DROP TABLE IF EXISTS models;
