// Package ingest walks a folder and uploads what is worth reading.
//
// The walk honours .gitignore files (its own and those of the folders above,
// up to the repository's root), leaves out hidden files, binaries, and files
// that are empty or above the limit. Uploads run a bounded number at a time,
// each under an Idempotency-Key of its own, so that a retry after a lost
// answer adds nothing twice.
package ingest
