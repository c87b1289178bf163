// Package federation knows the other instances by their heartbeats, and
// searches them.
//
// Owns: the catalog of instances, and with whom projects are shared (schema
// federation).
// Hears: hub.presence.<slug>, in account HUB and on the servers of neighbours,
// from instances of every version; hub.ask.<our slug>; auth.project.deleting.
// Says: federation.instance.registered, status_changed, removed; its own
// heartbeat, every 30 s; questions and answers to other instances.
// Serves: instances, shares, searchFederation, /api/fed/projects; exportPage, restorePart.
//
// The main story:
//
//  1. Another instance publishes a heartbeat; the stream PRESENCE keeps the last of each.
//  2. internal/inbox takes it from the durable consumer: one replica gets it. It
//     verifies the signature.
//  3. internal/instance reads any of the forms in use, and refuses a foreign
//     slug, a time that is off, another key and an older beat. One with our own
//     slug never touches our row: that follows what we have sent.
//  4. internal/postgres: one transaction: the row, and what changed in the outbox.
//  5. A sweep finds who is late: degraded after 50 s, offline after 90 s,
//     both since its last heartbeat came in; and forgotten after 30 days offline.
//  6. internal/mesh asks others for what they share (internal/share), and answers
//     those that ask; internal/inbox signs and seals what goes over the wire.
package federation
