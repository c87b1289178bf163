// Package token signs access tokens and looks after the keys.
//
// An access token is a JWT signed with Ed25519 (header: alg EdDSA, typ at+jwt,
// kid; claims: iss, aud, sub, sid, email, type "access", iat, nbf, exp, jti).
// Algorithm and type are pinned where a token is read; the header only says
// which of our keys to use.
//
// The keys are rows that all replicas share, sealed in the store of secrets
// ([Sealer]). They rotate by overlap: a key is
// published some time before it signs, and stays published until the last token
// that it signed has run out. [Keys.Refresh] makes the next one when its time
// has come; of replicas that try together, one does.
package token
