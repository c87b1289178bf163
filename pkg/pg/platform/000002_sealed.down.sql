DROP FUNCTION IF EXISTS platform.unsealable(name);
DROP DOMAIN IF EXISTS platform.sealed;
