// Package evaluation measures how good a ranking is, on judged collections in
// the BEIR layout: corpus.jsonl, queries.jsonl, qrels/test.tsv.
//
// The figures are those of trec_eval: nDCG at 10 with linear gain over the
// judged documents (not over the ones that were found), ties broken by score
// and then document id, both descending; queries without a positive judgement
// are left out.
package evaluation
