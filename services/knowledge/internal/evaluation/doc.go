// Package evaluation measures how well searches rank, on judged questions: sets of
// them that a project keeps, evaluations that ask all questions of a set in
// several ways and report, and, without the rest of the product, judged
// collections that are put into an index. What is measured, and how, is in the
// packages ireval and trial.
package evaluation
