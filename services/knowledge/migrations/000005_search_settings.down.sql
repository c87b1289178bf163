ALTER TABLE documents DROP COLUMN IF EXISTS text_language;
DROP TABLE IF EXISTS search_settings;
