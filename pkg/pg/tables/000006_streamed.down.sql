DROP INDEX IF EXISTS outbox_streamed;
