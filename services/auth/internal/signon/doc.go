// Package signon is how people log in by an identity provider: OpenID Connect,
// the code flow with PKCE.
//
// Where a flow stands is in a sealed cookie of the browser that began it, so that
// nobody can finish it in another. An account belongs to an identity (issuer and
// subject). The first time, the account is the one with the address, if the
// provider vouches for that. Nobody had until then, and whoever registered the
// address may have been somebody who waited for its owner; so everything ends that
// would still let that one in, see [Ended], and the password itself. Nothing ends
// where the same browser is logged in to the account already: then it is one
// person. A superuser's account is never linked so.
package signon
