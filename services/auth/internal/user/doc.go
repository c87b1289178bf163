// Package user is about accounts: what an address is, who may register, who may
// log in, and what repeated failures cost.
//
// An account belongs to the instance, not to a project. Its address is compared
// in one normal form only ([Normalise]). A registration makes the account and
// its first project together, so that nobody is without one. A login answers an
// unknown address exactly as a wrong password, in the same time; only whoever
// knows the password learns that the account is switched off.
package user
