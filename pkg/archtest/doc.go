// Package archtest turns the plan of the house into tests: which package may
// import which, what a package may be called, and which rooms a service has.
//
// It parses the import clauses of the files of one module, the caller's own,
// and nothing outside it: the test cache of Go does not see changes in another
// module. Nothing is built, so a check of a whole module takes milliseconds.
package archtest
