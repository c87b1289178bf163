// Package audit is the form of an audit log that cannot be changed unseen: what
// an entry holds, how the entries of a log are chained, and how whoever has a
// copy finds out that the log was tampered with.
//
// The hash of an entry is the SHA-256 of
//
//	"cc-audit-1" LF, then each of these fields as an unsigned 64-bit big-endian
//	count of bytes and the bytes:
//	prev, chain, seq, id, recorded_at, accepted_at, last_at, service, operation,
//	actor, key_id, status, reason, address, request_id, trace_id, count, the
//	number of targets, and of each target its name and its value
//
// where numbers are decimal, times are RFC 3339 in UTC with microseconds (six
// digits, always), and prev is the hash of the entry before it in hexadecimal
// digits, empty for the first one. The counts make the encoding unambiguous: no
// two entries have the same bytes.
//
// Whoever can write the database can write a whole chain anew. That is found by
// an [Anchor] that was kept elsewhere.
package audit
