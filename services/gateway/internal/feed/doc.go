// Package feed shows what was said on the bus to callers of HTTP: it makes of
// each fact the one form that history and streams share, and keeps the latest
// ones so that any number of open streams is served by one consumer.
//
// A stream is a place in the ring of latest facts and a bell; it has no buffer
// of its own, so a slow one costs nobody memory. One that falls out of the ring
// has lost its place and is cut off.
package feed
