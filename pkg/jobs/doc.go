// Package jobs runs work that takes longer than a request: it survives
// crashes, waits its turn fairly, reports progress, and can be cancelled.
//
// A job is a row before it is anything else; [Enqueue] writes it in the
// caller's transaction. The dispatcher, one per service in the cluster,
// releases a small window of each project's jobs into the stream JOBS, in
// turn, so that priority, fairness and cancelling are decided in the table and
// a project with a million jobs delays nobody else's. A worker takes a message,
// claims the row under a lease, and runs the kind's handler. Jobs that take long
// have a lane of their own, in which they take turns, and leave a worker to the
// others.
//
// # What a handler may rely on
//
// It runs at least once. It does its work in steps: [Step] runs a function in
// a unit of work and saves its result in the same transaction, so a step that
// was saved is never done again, whatever happens to the process. A worker
// that lost its lease cannot save. After a crash the job goes on at the first
// step that was not saved, when the lease has run out.
//
// A refusal (see errs.Kind.Refusal) ends the job as failed. Any other error is
// tried again later, by a row with next_attempt_at, and after the last try the
// job is dead; so is one whose worker dies each time. A step that is saved begins
// the count of tries anew. A stop of the process is no try: the job goes on where it was
// as soon as there is a worker. A handler that takes long asks [Run.Yield]
// after each step whether others wait. When the job is cancelled, the handler's
// context ends with the cause [ErrCancelled].
//
// # States
//
//	queued ─▶ released ─▶ running ─▶ done | failed | dead | cancelled
//	  ▲           │           │
//	  └───────────┴───────────┘  not taken in time; fault, stop, lost lease, end of a turn
//
// Progress and changes of state go to the live subject of the job as
// [Update]; they may be lost, the row is the truth.
package jobs
