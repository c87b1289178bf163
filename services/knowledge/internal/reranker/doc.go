// Package reranker ranks anew what a search found: by a cross-encoder in this
// process, or by a service. It is what a search can do without: a model that is
// not there yet, or does not come to an end in time, is a reason that is said, and
// never a failure of the search.
//
// A model is loaded when the first search asks for it. Scores are kept, by the
// texts that they are of.
package reranker
