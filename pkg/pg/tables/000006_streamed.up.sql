-- What the stream lacks is looked for at every start and reconnection, in seven
-- days of rows.
CREATE INDEX IF NOT EXISTS outbox_streamed ON outbox (stream_epoch, stream_seq) WHERE published_at IS NOT NULL;
