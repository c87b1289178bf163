DROP TABLE IF EXISTS closed_projects;
