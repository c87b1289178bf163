// Package signon is how people log in by an identity provider: OpenID Connect,
// the code flow with PKCE.
//
// Where a flow stands is in a sealed cookie of the browser that began it, so that
// nobody can finish it in another. An account belongs to an identity (issuer and
// subject). The first time, the account is the one with the address, if the
// provider vouches for that; since nobody had until then, whatever was opened
// with its password before ends: sessions, keys, the password itself. A
// superuser's account is never linked so.
package signon
