DROP TABLE IF EXISTS task_documents, task_files;
