-- The sweep of the object store asks which of its objects are referred to.
CREATE INDEX IF NOT EXISTS blobs_by_name ON blobs (project_id, name) WHERE name <> '';
