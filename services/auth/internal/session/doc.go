// Package session is about staying logged in and about ending that.
//
// A login opens a session and gives a refresh token: 256 random bits of which
// only the SHA-256 is kept. Each works once and is traded for the next of its
// family. One that comes back after it was traded is in two hands, so the whole
// session ends ([StolenReason]). The one exception is a client that sends the
// same token twice at the same moment: within [Rules.Grace] of the trade the
// second is refused like any unknown token (401, never a second pair) and the
// session lives on. A thief gains nothing from that: all he gets is the refusal.
//
// A session ends by logout, by misuse, or by not being used for the life of a
// refresh token; and at the latest after [Rules.Longest].
package session
