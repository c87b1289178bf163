DROP TABLE IF EXISTS outbox_promises;
