// Package ingestion is the service that takes in what comes from outside.
//
// Owns: the schemas of facts that other teams may say.
//
// Hears: ext.<project>.<team>.<noun>.<fact>.v<n>, from other teams;
// auth.v1.ProjectDeleting.
//
// Says: ingestion.v1.FactAccepted, platform.v1.ProjectPurged.
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
package ingestion
