// Package trail keeps the audit log: of each project, and of the instance, a
// chain of entries about every write and every denied request. What an entry
// holds and how it is chained is package audit's; this one says who may see what,
// and where a call is told of.
//
// Decisions:
//
//   - A project's log goes with the project; its last number and hash become an
//     entry in the log of the instance. What is told of the project later goes
//     there too, with the project's number as a target.
//   - Who is denied a project that is not theirs is told of in the log of the
//     instance, so that no stranger writes into a project's log.
//   - Of a failed login neither the address of the account nor a hash of it is
//     kept: whoever mistypes may have typed a password there, and a hash of an
//     e-mail address is guessed in no time. Where it came from is kept.
//   - Nothing is removed for its age: a chain with a hole proves nothing.
package trail
