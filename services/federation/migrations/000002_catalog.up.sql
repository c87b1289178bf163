-- What is known of an instance beside its last heartbeat. Rows of before were
-- all heard, and all were taken as instances of this federation.
ALTER TABLE instances ADD COLUMN IF NOT EXISTS name         text CHECK (length(name) <= 200);
ALTER TABLE instances ADD COLUMN IF NOT EXISTS tags         text[]  NOT NULL DEFAULT '{}';
ALTER TABLE instances ADD COLUMN IF NOT EXISTS source       text    NOT NULL DEFAULT 'heartbeat' CHECK (source IN ('heartbeat', 'api', 'file', 'self'));
ALTER TABLE instances ADD COLUMN IF NOT EXISTS admitted     boolean NOT NULL DEFAULT true;
-- Digest of the key with which the instance uses the API.
ALTER TABLE instances ADD COLUMN IF NOT EXISTS api_key_hash bytea;
-- The public key that signs for the slug, the one that seals, and the last
-- other one that somebody has signed with.
ALTER TABLE instances ADD COLUMN IF NOT EXISTS sign_key     text CHECK (length(sign_key) <= 60);
ALTER TABLE instances ADD COLUMN IF NOT EXISTS seal_key     text CHECK (length(seal_key) <= 60);
ALTER TABLE instances ADD COLUMN IF NOT EXISTS other_key    text CHECK (length(other_key) <= 60);
ALTER TABLE instances ADD COLUMN IF NOT EXISTS sequence     bigint  NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN IF NOT EXISTS contract     text CHECK (length(contract) <= 100);
ALTER TABLE instances ADD COLUMN IF NOT EXISTS capabilities text[]  NOT NULL DEFAULT '{}';
ALTER TABLE instances ADD COLUMN IF NOT EXISTS load         double precision;
-- 0 is an instance that was registered and never heard; its last_heartbeat_at
-- is when that was done. A row of before counts as heard once.
ALTER TABLE instances ADD COLUMN IF NOT EXISTS beats        bigint  NOT NULL DEFAULT 1;
ALTER TABLE instances ADD COLUMN IF NOT EXISTS missed       bigint  NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN IF NOT EXISTS interval_ms  double precision NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN IF NOT EXISTS jitter_ms    double precision NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN IF NOT EXISTS skew_ms      double precision NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX IF NOT EXISTS instances_by_api_key ON instances (api_key_hash);
