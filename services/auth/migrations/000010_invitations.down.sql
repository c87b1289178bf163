DROP TABLE IF EXISTS invitations;
DROP INDEX IF EXISTS memberships_one_owner;
