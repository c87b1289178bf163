ALTER TABLE instances RESET (fillfactor);
CREATE INDEX IF NOT EXISTS instances_by_status ON instances (status, last_heartbeat_at);
