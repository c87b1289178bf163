-- What migrations of the services call. The functions run with the caller's
-- rights, so a service can protect its own tables and no others.

-- protect closes table t by project: row security enabled and forced, rows of
-- the transaction's project only. With across, the role <schema>_across sees
-- all of it as well.
CREATE OR REPLACE FUNCTION platform.protect(t regclass, across boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
    home    name;
    present boolean;
BEGIN
    SELECT n.nspname INTO STRICT home
    FROM   pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE  c.oid = t;

    SELECT true INTO present
    FROM   pg_catalog.pg_attribute
    WHERE  attrelid = t AND attname = 'project_id' AND atttypid = 'bigint'::regtype AND attnotnull AND NOT attisdropped;
    IF present IS NULL THEN
        RAISE EXCEPTION 'table % has no column project_id bigint NOT NULL', t USING ERRCODE = 'undefined_column';
    END IF;

    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('DROP POLICY IF EXISTS tenant ON %s', t);
    -- nullif: a setting that was set in an earlier transaction of the same
    -- connection reads as '', not as NULL.
    EXECUTE format(
        'CREATE POLICY tenant ON %s
            USING      (project_id = nullif(current_setting(''app.project_id'', true), '''')::bigint)
            WITH CHECK (project_id = nullif(current_setting(''app.project_id'', true), '''')::bigint)', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', t, home || '_app');

    EXECUTE format('DROP POLICY IF EXISTS across ON %s', t);
    IF across THEN
        EXECUTE format('CREATE POLICY across ON %s TO %I USING (true) WITH CHECK (true)', t, home || '_across');
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', t, home || '_across');
    ELSE
        EXECUTE format('REVOKE ALL ON %s FROM %I', t, home || '_across');
    END IF;
END $$;

-- exempt says that table t holds nothing of a tenant, and why. Both roles may
-- use it.
CREATE OR REPLACE FUNCTION platform.exempt(t regclass, reason text)
RETURNS void LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
    home name;
BEGIN
    IF coalesce(trim(reason), '') = '' THEN
        RAISE EXCEPTION 'table % without tenant: say why', t;
    END IF;
    SELECT n.nspname INTO STRICT home
    FROM   pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE  c.oid = t;
    EXECUTE format('COMMENT ON TABLE %s IS %L', t, 'no tenant: ' || reason);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I, %I', t, home || '_app', home || '_across');
END $$;

-- unprotected lists what in a schema could show one project's rows to another:
-- tables that are neither protected nor exempt, tables whose forcing was
-- switched off, views that run as their owner, and materialized views.
CREATE OR REPLACE FUNCTION platform.unprotected(home name)
RETURNS TABLE (relation text, fault text) LANGUAGE sql STABLE SECURITY INVOKER AS $$
    SELECT c.relname::text,
           CASE c.relkind
               WHEN 'v' THEN 'view without security_invoker'
               WHEN 'm' THEN 'materialized view, which row security does not cover'
               ELSE          'table neither protected nor exempt'
           END
    FROM   pg_catalog.pg_class c
    JOIN   pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE  n.nspname = home
    AND    c.relname NOT IN ('schema_migrations', 'platform_migrations')
    AND    CASE
               WHEN c.relkind IN ('r', 'p') THEN
                   NOT (c.relrowsecurity AND c.relforcerowsecurity
                        AND EXISTS (SELECT 1 FROM pg_catalog.pg_policy p
                                    WHERE p.polrelid = c.oid AND p.polname = 'tenant' AND p.polwithcheck IS NOT NULL))
                   AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') NOT LIKE 'no tenant: %'
               WHEN c.relkind = 'v' THEN
                   NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'] OR c.reloptions @> ARRAY['security_invoker=on'], false)
               ELSE c.relkind = 'm'
           END
    ORDER  BY 1
$$;
