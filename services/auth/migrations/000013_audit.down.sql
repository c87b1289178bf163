DROP FUNCTION IF EXISTS audit_purge(bigint);
DROP TABLE IF EXISTS audit_entries, audit_heads;
DROP FUNCTION IF EXISTS audit_refuse(), audit_advance();
