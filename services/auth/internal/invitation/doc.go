// Package invitation brings people into a project.
//
// An invitation is a secret of 32 random bytes, of which only the SHA-256 is
// kept. It works once, until it runs out, is taken back, or its inviter may not
// give its role any more; for the account of one e-mail address, or for whoever
// has it. What is wrong with one is never told: each is the same refusal.
package invitation
