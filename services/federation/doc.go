// Package federation knows the other instances by their heartbeats.
//
// Owns: the catalog of instances (schema federation).
// Hears: hub.presence.<slug>, in account HUB and on the servers of neighbours,
// from instances of every version.
// Says: federation.instance.status_changed; its own heartbeat, every 30 s.
// Serves: listInstances.
//
// The main story:
//
//  1. Another instance publishes a heartbeat; the stream PRESENCE keeps the last of each.
//  2. internal/inbox takes it from the durable consumer: one replica gets it.
//  3. internal/instance reads any of the forms in use, and refuses a foreign
//     slug, a time that is off and an older beat. One with our own slug never
//     touches our row: that follows what we have sent.
//  4. internal/postgres: one transaction: the row, and status_changed in the outbox.
//  5. A sweep finds who is late: degraded after 60 s, offline after 90 s,
//     both since its last heartbeat came in; and forgotten after 30 days offline.
package federation
