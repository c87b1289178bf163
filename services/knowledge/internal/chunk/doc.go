// Package chunk cuts structured text into passages that a model can read and
// a person can use.
//
// A chunk keeps to one section or declaration where that gives it a useful
// size, joins small ones, and is bounded by the tokens of the model that will
// embed it, counted together with the title and heading path that go before
// it. No text is lost: the chunks of a document, without the overlaps that
// they state, are its blocks in order.
package chunk
