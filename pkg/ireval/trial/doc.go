// Package trial is what a search is tried on, and what comes of it: judged
// questions, settings, and the report that compares them, with its plot.
//
// A question is judged by documents, or by sections of documents, which are
// source and heading and survive edits of the text below it. What a document or
// a section gives is the place of its best passage.
package trial
