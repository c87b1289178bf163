// Package bus is how services talk: requests, commands, events, jobs' streams,
// files and progress, over NATS and JetStream, with types instead of subjects.
//
// What each kind promises:
//
//   - [Bus.Request] asks and waits. Nothing is stored. A service that is full
//     refuses at once with a time to come back.
//   - [Bus.Stream] asks for many replies. The service is never ahead of the
//     caller by more than it has credit for, and ends when the caller does.
//   - [Bus.Command] is durable before the service sees it. It runs once as far
//     as anybody can tell: the handler's changes, its events and the answer
//     commit together, and whoever brings the same command again, be it the
//     stream or a caller with the same idempotency key, gets the first answer.
//     A refusal is an answer; only faults are tried again, and after the last
//     try the command is a dead letter and its answer the failure. Projects
//     take turns, so that one that gives many commands delays nobody else's.
//   - [Handle] hears a fact at least once, in the order of the stream, and
//     records the message with its effect, so that it takes effect once. While
//     a fact fails, the facts of its kind behind it wait; after the last try it
//     is a dead letter and they go on.
//   - [Follow] hears facts on every replica from now on. A short loss of the
//     connection is caught up; a restart is not.
//   - [Bus.Live] is progress. It may be lost.
//
// Who is calling crosses the bus in a token that the caller's service signs
// for one operation and one minute; see [tenant.Identity]. A handler that asks
// another service may pass its caller on for a quarter of an hour; a command that
// has waited longer asks as its service. Everything that
// waits in a stream is decided again when it runs.
//
// A [Bus] may be used from many goroutines. [Server], [Inbox], followers and
// [Consumer] are parts: Start returns when they are ready, Stop first stops to
// fetch, then waits for running handlers until its deadline. Handlers of
// requests and commands run side by side; those of one kind of fact one after
// another.
package bus
