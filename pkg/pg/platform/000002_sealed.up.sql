-- sealed is the type of every column that holds a secret, as package secret
-- seals it: by it the command that rotates keys finds what it has to seal anew,
-- also in tables that do not exist yet. The check refuses what is in the clear.
DO $$ BEGIN
    IF to_regtype('platform.sealed') IS NULL THEN
        CREATE DOMAIN platform.sealed AS bytea
            CONSTRAINT sealed_is_sealed CHECK (octet_length(VALUE) > 60 AND get_byte(VALUE, 0) = 1 AND get_byte(VALUE, 3) = 1);
    END IF;
END $$;

-- unsealable lists the columns of a schema that rotation would miss: those in
-- tables without a primary key beside project_id, and those in tables of which
-- the role <schema>_across does not see all.
CREATE OR REPLACE FUNCTION platform.unsealable(home name)
RETURNS TABLE (relation text, fault text) LANGUAGE sql STABLE SECURITY INVOKER AS $$
    SELECT c.relname::text, 'column ' || a.attname ||
           CASE WHEN k.columns IS NULL THEN ' is sealed, but the rows have no primary key beside project_id to bind it to'
                ELSE ' is sealed, but the table is protected without across, so that keys cannot be rotated' END
    FROM   pg_catalog.pg_attribute a
    JOIN   pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN   pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT   JOIN LATERAL (
               SELECT count(*) AS columns FROM pg_catalog.pg_index i
               JOIN   pg_catalog.pg_attribute p ON p.attrelid = c.oid AND p.attnum = ANY (i.indkey) AND p.attname <> 'project_id'
               WHERE  i.indrelid = c.oid AND i.indisprimary HAVING count(*) > 0) k ON true
    WHERE  n.nspname = home AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
    AND    a.atttypid = 'platform.sealed'::regtype
    AND    (k.columns IS NULL
            OR c.relrowsecurity AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'across'))
    ORDER  BY 1, 2
$$;
