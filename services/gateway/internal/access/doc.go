// Package access answers who is calling and what they may do, fast enough to
// be asked on every call.
//
// A token is verified once and then recognised until it expires; the standing
// of its user is asked of the auth service and kept for at most [Config.Keep].
// [Guard.ForgetUser], [Guard.ForgetSession] and [Guard.ForgetProject] drop what
// an event has made untrue. An answer that was under way while something was
// forgotten is used once and not kept, so that a revocation never loses a race.
//
// While the auth service is away, callers that are known stay known until their
// standing runs out; all others are told to come back. Nobody is let in for
// lack of an answer.
package access
