-- What of the schema needs pgvector, from 0.8 on, which can scan its graph further
-- when a filter has left too few. Run after the migrations each time: the extension
-- may have come since, or gone and come back.
DO $$
DECLARE
    d integer;
BEGIN
    IF to_regtype('extensions.vector') IS NULL OR EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'vectors'::regclass AND attname = 'embedding' AND NOT attisdropped) THEN
        RETURN;
    END IF;
    IF (SELECT string_to_array(substring(extversion FROM '^[0-9.]+'), '.')::integer[] FROM pg_extension WHERE extname = 'vector') < ARRAY[0, 8] THEN
        RETURN;
    END IF;
    -- Rows of before, when the column was dropped with the extension, are worth
    -- nothing: their projects begin again.
    TRUNCATE vectors;
    SET LOCAL ROLE knowledge_across;
    UPDATE generations SET generation = generation + 1
    WHERE  project_id IN (SELECT project_id FROM models WHERE serving <> 'memory');
    UPDATE models SET serving = 'memory' WHERE serving <> 'memory';
    SET LOCAL ROLE knowledge_owner;

    ALTER TABLE vectors ADD COLUMN embedding extensions.vector NOT NULL;
    -- In the row, if it can be: who is compared with each should not be fetched.
    ALTER TABLE vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;
    ALTER TABLE vectors SET (toast_tuple_target = 8160);
    FOREACH d IN ARRAY ARRAY[384, 512, 768, 1024, 1536] LOOP
        EXECUTE format('CREATE INDEX vectors_near_%1$s ON vectors USING hnsw ((embedding::extensions.vector(%1$s)) extensions.vector_ip_ops)
            WITH (m = 16, ef_construction = 100) WHERE dims = %1$s AND NOT half', d);
        EXECUTE format('CREATE INDEX vectors_near_%1$s_half ON vectors USING hnsw ((embedding::extensions.halfvec(%1$s)) extensions.halfvec_ip_ops)
            WITH (m = 16, ef_construction = 100) WHERE dims = %1$s AND half', d);
    END LOOP;
END $$;
