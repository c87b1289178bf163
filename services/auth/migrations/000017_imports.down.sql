DROP TABLE IF EXISTS project_imports;
