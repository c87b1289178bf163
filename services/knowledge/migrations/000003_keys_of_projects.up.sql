-- Keys begin with the project, so that what is unique is so within it, and an
-- error about a key tells of no other. What refers to documents and chunks did so
-- by project and id before.
ALTER TABLE documents DROP CONSTRAINT IF EXISTS documents_pkey;
ALTER TABLE documents ADD CONSTRAINT documents_pkey PRIMARY KEY (project_id, id);

ALTER TABLE chunks DROP CONSTRAINT IF EXISTS chunks_pkey;
ALTER TABLE chunks ADD CONSTRAINT chunks_pkey PRIMARY KEY (project_id, id);

ALTER TABLE chunks DROP CONSTRAINT IF EXISTS chunks_in_order;
ALTER TABLE chunks ADD CONSTRAINT chunks_in_order UNIQUE (project_id, document_id, ordinal) DEFERRABLE INITIALLY DEFERRED;
DROP INDEX IF EXISTS chunks_by_document; -- the same columns, and no more
