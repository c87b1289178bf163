// Package sample holds documents for the first minute of an instance that was
// not started in the repository: a short guide to the product, so that the
// first search finds something worth reading.
package sample
