// Package limit counts calls per caller in a sliding window.
//
// No window holds more calls than the limit, whenever it begins: "5 per hour"
// never lets ten through around the turn of an hour. Calls made close to each
// other are remembered together, so that a counter is small and a call counts
// for its window, or a tenth longer. State is in memory and bounded: when there
// are more callers than room, the idle ones are forgotten first. With several
// gateways each counts for itself.
package limit
