DROP TABLE IF EXISTS browser_sessions;
DROP TABLE IF EXISTS user_identities;
