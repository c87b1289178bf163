-- Where a chunk begins in a document that has pages or slides, from 1; 0 where it
-- has none, and for what was read before this column was there.
ALTER TABLE chunks ADD COLUMN IF NOT EXISTS page integer NOT NULL DEFAULT 0;
