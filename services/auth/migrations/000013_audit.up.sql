-- The audit log: of each project, and of the instance (project 0), a chain of
-- entries that can be added to and read, and neither changed nor removed.

CREATE TABLE IF NOT EXISTS audit_heads (
    project_id   bigint NOT NULL PRIMARY KEY,
    seq          bigint NOT NULL DEFAULT 0,
    hash         text   NOT NULL DEFAULT '',
    -- The last entry that was announced on the stream of events.
    anchored_seq bigint NOT NULL DEFAULT 0,
    CONSTRAINT audit_heads_seq      CHECK (seq BETWEEN 0 AND 2147483647),
    CONSTRAINT audit_heads_hash     CHECK (hash = '' AND seq = 0 OR hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT audit_heads_anchored CHECK (anchored_seq BETWEEN 0 AND seq)
);
CREATE INDEX IF NOT EXISTS audit_heads_moved ON audit_heads (project_id) WHERE seq > anchored_seq;
SELECT platform.protect('audit_heads', true);
REVOKE DELETE, TRUNCATE ON audit_heads FROM auth_app, auth_across;

CREATE TABLE IF NOT EXISTS audit_entries (
    project_id  bigint      NOT NULL,
    seq         bigint      NOT NULL,
    call_id     text        NOT NULL,
    recorded_at timestamptz NOT NULL,
    accepted_at timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    count       integer     NOT NULL,
    service     text        NOT NULL,
    operation   text        NOT NULL,
    actor       text        NOT NULL,
    key_id      text        NOT NULL,
    status      integer     NOT NULL,
    reason      text        NOT NULL,
    address     text        NOT NULL,
    request_id  text        NOT NULL,
    trace_id    text        NOT NULL,
    target      jsonb       NOT NULL,
    prev        text        NOT NULL,
    hash        text        NOT NULL,
    PRIMARY KEY (project_id, seq),
    CONSTRAINT audit_entries_count CHECK (count >= 1),
    CONSTRAINT audit_entries_times CHECK (last_at >= accepted_at),
    CONSTRAINT audit_entries_hash  CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT audit_entries_prev  CHECK (prev = '' AND seq = 1 OR prev ~ '^[0-9a-f]{64}$')
);
CREATE INDEX IF NOT EXISTS audit_entries_actor ON audit_entries (project_id, actor, seq DESC);
CREATE INDEX IF NOT EXISTS audit_entries_operation ON audit_entries (project_id, operation, seq DESC);
CREATE INDEX IF NOT EXISTS audit_entries_denied ON audit_entries (project_id, seq DESC) WHERE reason <> '';
SELECT platform.protect('audit_entries', true);
REVOKE UPDATE, DELETE, TRUNCATE ON audit_entries FROM auth_app, auth_across;

-- Also whoever owns the tables meets this: nothing but audit_purge sets the
-- setting, and a role of the service has no grant that it could use with it.
CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('app.audit_purge', true) = OLD.project_id::text THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log cannot be changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE OR REPLACE TRIGGER audit_entries_kept BEFORE UPDATE OR DELETE ON audit_entries FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE OR REPLACE TRIGGER audit_entries_whole BEFORE TRUNCATE ON audit_entries FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- A head moves by one entry, which must be there, or not at all.
CREATE OR REPLACE FUNCTION audit_advance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.project_id = OLD.project_id AND NEW.seq = OLD.seq AND NEW.hash = OLD.hash THEN
        RETURN NEW;
    END IF;
    IF NEW.project_id <> OLD.project_id OR NEW.seq <> OLD.seq + 1 OR NOT EXISTS (
        SELECT 1 FROM auth.audit_entries e
        WHERE  e.project_id = NEW.project_id AND e.seq = NEW.seq AND e.hash = NEW.hash AND e.prev = OLD.hash)
    THEN
        RAISE EXCEPTION 'the audit log goes on with its next entry' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER audit_heads_advance BEFORE UPDATE ON audit_heads FOR EACH ROW EXECUTE FUNCTION audit_advance();

-- audit_purge removes the log of a project that is no more, and says how it
-- ended. It runs with the rights of its owner, since nobody else may.
CREATE OR REPLACE FUNCTION audit_purge(gone bigint) RETURNS TABLE (last_seq bigint, last_hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = auth, pg_temp AS $$
DECLARE
    before text := coalesce(current_setting('app.project_id', true), '');
BEGIN
    PERFORM set_config('app.project_id', gone::text, true);
    IF gone = 0 OR EXISTS (SELECT 1 FROM projects p WHERE p.project_id = gone) THEN
        RAISE EXCEPTION 'the audit log of project % is kept', gone USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('app.audit_purge', gone::text, true);
    DELETE FROM audit_heads h WHERE h.project_id = gone RETURNING h.seq, h.hash INTO last_seq, last_hash;
    DELETE FROM audit_entries e WHERE e.project_id = gone;
    PERFORM set_config('app.audit_purge', '', true);
    PERFORM set_config('app.project_id', before, true);
    IF last_seq IS NOT NULL THEN
        RETURN NEXT;
    END IF;
END $$;
REVOKE ALL ON FUNCTION audit_purge(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_purge(bigint) TO auth_app, auth_across;
