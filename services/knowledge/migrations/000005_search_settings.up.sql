-- How a project is searched where a question does not say. NULL and '' follow the
-- instance.
CREATE TABLE IF NOT EXISTS search_settings (
    project_id bigint           PRIMARY KEY,
    mode       text             NOT NULL DEFAULT '',
    alpha      double precision,
    fusion     text             NOT NULL DEFAULT '',
    languages  text             NOT NULL DEFAULT '', -- codes joined by commas, the usual one first
    updated_at timestamptz      NOT NULL DEFAULT now()
);
SELECT platform.protect('search_settings');

-- The language of a document's text, where whoever added it said so.
ALTER TABLE documents ADD COLUMN IF NOT EXISTS text_language text NOT NULL DEFAULT '';
