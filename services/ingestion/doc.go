// Package ingestion is the service that takes in what comes from outside.
//
// Owns: the schemas of facts that other teams may say; sources, their runs, and which
// documents they have.
//
// Hears: ext.<project>.<team>.<noun>.<fact>.v<n>, from other teams;
// auth.v1.ProjectDeleting.
//
// Says: ingestion.v1.FactAccepted, DocumentFetched, DocumentGone, SourceAdded,
// SourceChanged, SourceRemoved, RunEnded; platform.v1.ProjectPurged.
//
// Serves: the operations of the tag ingestion; exportPage, restorePart.
//
// The main story:
//
//  1. A team says a fact with the credentials of its grant; a stream of the team keeps it.
//  2. internal/inbox takes it from the durable consumer: one replica gets it.
//  3. internal/schema checks it against the form that was registered for its
//     subject; what does not fit, or was never registered, is a dead letter.
//  4. One transaction: the fact's id, and FactAccepted in the outbox.
//
// The other story:
//
//  1. The clock (fetching.go) finds a source that is due, and makes its run, a job.
//  2. internal/feed, internal/site and internal/hackernews ask it by pkg/egress, internal/folder reads what
//     is below a root; each yields what is new there.
//  3. internal/source names each document; internal/postgres keeps who has it, and
//     DocumentFetched in the outbox. What is large goes into the object store.
//  4. The end of the run says when the source is due again.
package ingestion
