// Package app runs a process as data: an ordered list of groups of parts.
//
// The promise, in order:
//
//   - Groups start one after another. The parts of one group start at the same
//     time, and the next group waits until each of them is ready. What must
//     start in order belongs into different groups, or into [InOrder].
//   - Stop is the reverse: last group first, under one deadline for all of it.
//     A part that does not stop in time is named in the error and abandoned.
//   - A part that fails to start, or fails later ([Failer]), ends the process:
//     what runs is stopped in order and [Run] returns the failure. Nothing is
//     restarted here; a crash must be seen.
//   - The context of Start stays alive until the part has been stopped, unless
//     the process is asked to stop while it is still starting. A part may
//     therefore keep it for its own goroutines, and must end them in Stop.
//
// A [Module] is what a service hands over: its parts in order, its health
// checks and the operations it answers.
package app
