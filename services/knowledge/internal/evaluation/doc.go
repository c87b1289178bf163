// Package evaluation measures how good the rankings of the index are, on judged
// collections in the layout of BEIR, without the rest of the product. The
// figures are those of package ireval.
package evaluation
