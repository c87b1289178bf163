-- Signing keys lie in the store of secrets, whose keys can be rotated. Rows of
-- before are sealed anew when the service starts; sealed_seed is then empty, and
-- a process of before goes on with the keys that it has read.
ALTER TABLE signing_keys ADD COLUMN IF NOT EXISTS seed platform.sealed;
ALTER TABLE signing_keys ALTER COLUMN sealed_seed DROP NOT NULL;
ALTER TABLE signing_keys DROP CONSTRAINT IF EXISTS signing_keys_have_a_seed;
ALTER TABLE signing_keys ADD CONSTRAINT signing_keys_have_a_seed CHECK ((seed IS NULL) <> (sealed_seed IS NULL));
