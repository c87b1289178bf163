// Package trail keeps the audit log: of each project, and of the instance, a
// chain of entries about every write and every denied request. What an entry
// holds and how it is chained is package audit's; this one says who may see what,
// and where a call is told of.
//
// Decisions:
//
//   - A project's log goes with the project. The entry of the call that deleted it
//     is kept in the log of the instance, with the project's name, and so are the
//     last number and hash of its log. What is told of the project later goes there
//     too, with the project's number as a target.
//   - Who is denied a project that is not theirs is told of in the log of the
//     instance, so that no stranger writes into a project's log.
//   - Of a failed login the account is kept, by its number, when there is one, and
//     where it came from. Neither the address that was typed is kept nor a hash of it:
//     whoever mistypes may have typed a password there, and a hash of an e-mail
//     address is guessed in no time.
//   - Nothing is removed for its age: a chain with a hole proves nothing.
package trail
