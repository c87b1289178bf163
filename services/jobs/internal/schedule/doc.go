// Package schedule says when something is due.
//
// A due time is found on the clock of the wall in the schedule's zone. Where that
// clock is put forward, a time that does not come is due at the moment of the change;
// where it is put back, a time that comes twice is due the first time. A schedule
// whose hour is a wildcard (every hour, every quarter of one) goes by time that
// passes: it is due at each moment when the clock shows what it says, so neither
// change makes a hole or a heap.
package schedule
