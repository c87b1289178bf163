// Package jobs is the service in which the work of all services is seen and steered,
// and that has work done when it is due.
//
// Owns: schedules, and what became of each of their due times; the jobs of the type
// call. Every other job lies with the service that does it, since it is enqueued in
// the transaction that asks for it.
//
// Hears: auth.v1.ProjectDeleting.
//
// Says: platform.v1.ProjectPurged.
//
// Serves: the operations of the tags jobs and schedules; exportPage, restorePart.
//
// The main story:
//
//  1. Somebody asks for the jobs of a project.
//  2. internal/job asks each service that has some for the keys of its latest, side
//     by side, and makes one list of them.
//  3. It asks for the rows of the page, whose numbers say whose they are.
//  4. internal/serve says each in the words of the contract.
//
// The other story:
//
//  1. internal/schedule says when a schedule is due, by the clock of its zone.
//  2. The scheduler of any replica (scheduler.go) notes the due time in the transaction
//     that moves the schedule on; a row for each time lets one of them do so.
//  3. It asks the owner of the type for a job whose id follows from schedule and time:
//     asking again, after a crash, makes no second one.
//  4. It asks how the job ended, and notes that with the due time.
package jobs
