// Package vector ranks passages by meaning: the inner product of unit vectors,
// exact, over all passages of one project.
//
// Exact search is right up to some ten thousand passages; an approximate
// index for more has the same three methods as [Flat].
package vector
