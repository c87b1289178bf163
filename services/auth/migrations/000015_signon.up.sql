-- Who comes by an identity provider, and sessions of browsers, which hold a
-- cookie in the place of tokens.

CREATE TABLE IF NOT EXISTS user_identities (
    issuer     text        NOT NULL,
    subject    text        NOT NULL,
    user_id    bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject),
    CONSTRAINT user_identities_issuer  CHECK (issuer <> '' AND octet_length(issuer) <= 2048),
    CONSTRAINT user_identities_subject CHECK (subject <> '' AND octet_length(subject) <= 255)
);
CREATE INDEX IF NOT EXISTS user_identities_user ON user_identities (user_id);
SELECT platform.exempt('user_identities', 'an account is of the instance, and so is who may use it');

-- The key is the SHA-256 of the cookie, which is 256 bits of chance.
CREATE TABLE IF NOT EXISTS browser_sessions (
    cookie_hash bytea PRIMARY KEY,
    session_id  uuid  NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    CONSTRAINT browser_sessions_hash CHECK (octet_length(cookie_hash) = 32)
);
CREATE INDEX IF NOT EXISTS browser_sessions_session ON browser_sessions (session_id);
SELECT platform.exempt('browser_sessions', 'belongs to a session');
