// Package problem is the one place where a failure becomes an answer: the kind
// of an error becomes a status, and its text an RFC 9457 problem document.
//
// The text of an internal failure never leaves; the document then holds a
// constant sentence and the request id under which the log has the rest.
package problem
