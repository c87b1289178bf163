// Package cli is the command line: what is typed, what is printed, and with
// which code it ends.
//
// Standard output carries answers only; everything said on the way goes to
// standard error. With --json an answer is one JSON document (for commands
// that follow something: one per line), and an error is one JSON object on
// standard error. Exit codes are stated in exit.go, in the help of each command
// and by `exit-codes`.
package cli
