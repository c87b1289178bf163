-- What only the store of secrets can open is lost to the version before, which
-- makes new keys; access tokens that these have signed end.
DELETE FROM signing_keys WHERE sealed_seed IS NULL;
ALTER TABLE signing_keys DROP CONSTRAINT IF EXISTS signing_keys_have_a_seed;
ALTER TABLE signing_keys DROP COLUMN IF EXISTS seed;
ALTER TABLE signing_keys ALTER COLUMN sealed_seed SET NOT NULL;
