// Package document holds the rules of documents: what is accepted, when a
// document is the same, how it becomes chunks, and how chunks get vectors.
//
// A document is known by its source name within a collection of a project. The
// same name with other content is the next version of the same document, and
// what both versions have in common keeps its chunks and vectors; the same
// name with the same content is no change at all.
package document
