// Package ireval measures how good rankings are: judgements and runs in the
// files of TREC, collections in the layout of BEIR, the figures of trec_eval,
// and whether two runs differ by more than chance.
//
// A figure is one of a query; a mean is over the judged queries, which are those
// with a positive judgement. A judged query that is missing from a run counts 0,
// so that a system which answers less does not gain by it.
package ireval
