// Package outbox is the part of delivery that lives in PostgreSQL: what a
// service says, what it has heard, and what it answered, each in the
// transaction of the change that it belongs to.
//
//   - [Add] writes an event beside the state that it tells of; a [Relay]
//     publishes it after the commit.
//   - [Once] records that a consumer has taken a message, so that its second
//     delivery changes nothing.
//   - [Operations] keeps the first answer of a command for a day, so that a
//     second delivery gets the same one; a provisional one for a week.
//
// The tables are made by pg.Migrate in every service's schema.
//
// # What the relay promises
//
// Every committed row is published at least once, with the event's id as
// Nats-Msg-Id; after [Reconcile] found it missing, with another. Rows are found by their state and not by a cursor, so one whose
// transaction commits late is published late and never skipped; a transaction
// that stays open delays nobody else's events.
//
// Order: rows leave in the order in which they were added, as far as they are
// visible. Whoever adds an event while holding the lock of its aggregate's row
// adds it after the previous holder committed, hence later and with a higher
// row id: the events of one aggregate leave in the order of its changes.
// Between aggregates there is no promise. When the stream refuses one message
// of a batch and accepts the next, the refused one arrives later; consumers
// ignore what is older than what they have.
//
// One relay per schema works at a time. It marks a row, with the stream's
// epoch and sequence, only after the stream's ack; a relay that dies in
// between makes the next one publish again, which the stream's deduplication
// or the consumer's inbox absorbs. When a stream was made anew or has lost its
// end, the relay publishes again what the stream no longer has. An event that
// the stream will never take is parked, and tried again at the next lead.
package outbox
