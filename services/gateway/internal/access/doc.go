// Package access answers who is calling and what they may do, fast enough to
// be asked on every call.
//
// A token is verified once and then recognised until it expires; the standing
// of its user is asked of the auth service and kept for at most [Config.Keep].
// [Guard.ForgetUser], [Guard.ForgetSession] and [Guard.ForgetProject] drop what
// an event has made untrue. An answer that was under way while something was
// forgotten is used once and not kept, so that a revocation never loses a race.
//
// While the auth service is away, callers that are known stay known for
// [Config.Away] after it was last asked about them, and no longer than their token;
// all others are told to come back. Nobody is let in for lack of an answer, and
// nobody stays who was forgotten: nothing changes but by that service, which says
// so on the bus.
package access
