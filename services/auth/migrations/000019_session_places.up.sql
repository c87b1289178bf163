-- Where a session was opened, or last traded its token, so that its owner knows it:
-- network address and program, as the program names itself.
ALTER TABLE sessions
    ADD COLUMN IF NOT EXISTS address text NOT NULL DEFAULT '' CONSTRAINT sessions_address CHECK (octet_length(address) <= 200),
    ADD COLUMN IF NOT EXISTS client  text NOT NULL DEFAULT '' CONSTRAINT sessions_client  CHECK (octet_length(client) <= 200);
