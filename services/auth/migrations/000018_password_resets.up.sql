-- Passwords that a superuser lets somebody choose anew. An account has one reset
-- at a time; only the SHA-256 of its secret is kept. One without issuer was made
-- on the machine of the instance.
CREATE TABLE IF NOT EXISTS password_resets (
    user_id     bigint      PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret_hash bytea       NOT NULL,
    issued_by   bigint      REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    CONSTRAINT password_resets_secret_hash UNIQUE (secret_hash),
    CONSTRAINT password_resets_hashed      CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT password_resets_lives       CHECK (expires_at > created_at)
);
CREATE INDEX IF NOT EXISTS password_resets_issued ON password_resets (issued_by);
CREATE INDEX IF NOT EXISTS password_resets_expires ON password_resets (expires_at);
SELECT platform.exempt('password_resets', 'an account is of the instance, and so is its password');
