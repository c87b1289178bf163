DROP FUNCTION IF EXISTS platform.unprotected(name);
DROP FUNCTION IF EXISTS platform.exempt(regclass, text);
DROP FUNCTION IF EXISTS platform.protect(regclass, boolean);
