// Package apikey is the form of secret keys that programs carry:
//
//	cc_<prefix>_<secret><checksum>
//
// The brand ("cc") and the fixed lengths let scanners of repositories and logs
// recognise a key; the checksum lets them, and whoever is shown one, tell a key
// from a lookalike without asking anybody. The prefix is no secret: it names the
// key in lists. The secret is 256 bits of chance, so that a plain SHA-256 of the
// key is all that has to be kept: there is nothing to guess.
package apikey
