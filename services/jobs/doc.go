// Package jobs is the service in which the work of all services is seen and steered.
//
// Owns: no job: each lies with the service that does it, since it is enqueued in the
// transaction that asks for it.
//
// Hears: auth.v1.ProjectDeleting.
//
// Says: platform.v1.ProjectPurged.
//
// Serves: the operations of the tag jobs; exportPage, restorePart.
//
// The main story:
//
//  1. Somebody asks for the jobs of a project.
//  2. internal/job asks each service that has some for the keys of its latest, side
//     by side, and makes one list of them.
//  3. It asks for the rows of the page, whose numbers say whose they are.
//  4. internal/serve says each in the words of the contract.
package jobs
