// Package limit counts calls per caller in token buckets, shared by all
// gateways of an instance.
//
// A limit of n calls per period is a bucket of n calls that fills evenly over
// the period (the generic cell rate algorithm: one time per counter). A caller
// who was idle may make all n at once, and then one every period/n. State is in
// memory and bounded: when there are more callers than room, the idle ones are
// forgotten first.
//
// [Shared] makes gateways count together. What one has let through it tells the
// others: at least ten times a second, and at once when it is a fiftieth of the
// limit, so that no gateway holds back more than that. Of a limit below [Exact],
// where a fiftieth is less than a call, one gateway of all decides and the
// others ask it. What too many were let through in between is owed by the bucket,
// so that it never adds up. Without the bus each gateway counts for itself, and
// one that comes anew is told what the others know. A call that turned out to be
// none of those that are counted is given back where it was decided.
package limit
