// Package limit counts calls per caller in a sliding window.
//
// The window slides by weighing the last full one, so that "5 per hour" never
// lets ten through around the turn of an hour. State is in memory and bounded:
// when there are more callers than room, the idle ones are forgotten first.
// With several gateways each counts for itself.
package limit
