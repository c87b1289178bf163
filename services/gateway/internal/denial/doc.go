// Package denial tells the audit log of requests that the gateway has denied.
//
// The gateway owns no database, and who is denied costs nothing to send again.
// So denials are gathered: those that are alike, of one caller, address,
// operation and reason, are one entry with a count, told every ten seconds.
// What exceeds the entries of one round is told of in sum, by reason, so that the
// log tells of every denial and no flood fills it. A round that cannot be said is
// kept and said later. The denials of up to ten seconds go with a gateway that is
// killed; one that is stopped tells of them first.
package denial
