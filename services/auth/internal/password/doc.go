// Package password hashes, compares and judges passwords.
//
// A hash is argon2id in PHC form, so that its parameters travel with it and may
// be raised: a hash of weaker parameters still matches and is reported as
// stale. Hashing takes tens of megabytes and milliseconds on purpose; a
// [Hasher] therefore lets only a few run at a time ([Hasher.InTurn]), and the
// rest wait for as long as their caller does.
//
// common.txt holds what is refused however long it is: the most frequent
// passwords of published leaks (from the MIT-licensed word lists of zxcvbn,
// Copyright (c) 2012-2016 Dan Wheeler and Dropbox, Inc.), with a few of our own;
// sorted by bytes, lower case.
package password
