// Package denial tells the audit log of requests that the gateway has denied.
//
// The gateway owns no database, and who is denied costs nothing to send again.
// So denials are gathered: those that are alike, of one caller, address,
// operation and reason, are one entry with a count, told every ten seconds.
// Each project has a share of the entries of one round, and so have callers whom
// nobody knows. What exceeds it is told of in sum, by caller and reason, in the
// log where it belongs: the log tells of every denial, no flood fills it, and
// none hides what happens in another project. A round that cannot be said is
// kept and said later. The denials of up to ten seconds go with a gateway that is
// killed; one that is stopped tells of them first.
package denial
