// Package evaluate asks a server judged questions and measures how well it ranks.
//
// A collection of BEIR is judged by documents: what a document gives is the place
// of its best passage. Questions on the documents of a project are judged by
// source and heading, which survive edits of the text below it: what a section
// gives is the place of its best passage.
package evaluate
