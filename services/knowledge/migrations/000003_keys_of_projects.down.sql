CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (project_id, document_id);
ALTER TABLE chunks DROP CONSTRAINT IF EXISTS chunks_in_order;
ALTER TABLE chunks ADD CONSTRAINT chunks_in_order UNIQUE (document_id, ordinal) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE chunks DROP CONSTRAINT IF EXISTS chunks_pkey;
ALTER TABLE chunks ADD CONSTRAINT chunks_pkey PRIMARY KEY (id);
ALTER TABLE documents DROP CONSTRAINT IF EXISTS documents_pkey;
ALTER TABLE documents ADD CONSTRAINT documents_pkey PRIMARY KEY (id);
