-- Run once, as superuser, before the first `commandcenter migrate`:
--   psql -v password="'...'" -f setup.sql
-- The role makes roles and schemas. It is no superuser and does not bypass row
-- security; the services never log in as it.
CREATE ROLE commandcenter LOGIN CREATEROLE PASSWORD :password;
CREATE DATABASE commandcenter OWNER commandcenter ENCODING 'UTF8' TEMPLATE template0;
\connect commandcenter
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- Extensions live in a schema of their own, so that no service owns them.
CREATE SCHEMA IF NOT EXISTS extensions AUTHORIZATION commandcenter;
GRANT USAGE ON SCHEMA extensions TO PUBLIC;
-- Optional: vectors in the database instead of in the process.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA extensions;
    END IF;
END $$;
