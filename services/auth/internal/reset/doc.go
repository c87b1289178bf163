// Package reset gives an account a new password by a secret that works once.
//
// A superuser issues it for somebody who has lost the password, and whoever has
// the machine of the instance may do so without an account. It is 32 random bytes,
// of which only the SHA-256 is kept, and ends after a short while, when another is
// issued, when the password is changed in any way, and with the rights of whoever
// issued it. What is wrong with one is never told: each is the same refusal, and
// costs a hash of the password like one that works.
//
// Decisions:
//
//   - An account that is switched off gets none, and one that is switched off
//     meanwhile stays so: a password is no way back in.
//   - An account that logs in by the identity provider gets one only when whoever
//     issues it says so: it would have a second way in, past the provider.
//   - All sessions end; API keys stay, as with a password change.
//   - Failed logins of the account are forgotten: the guesses were at a password
//     which is none any more.
package reset
