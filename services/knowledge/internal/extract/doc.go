// Package extract turns the bytes of a document into structured text: a title
// and blocks in reading order, each with the headings or declarations that
// enclose it.
//
// It promises that every word that a reader of the document would see is in
// exactly one block, so that what follows (cutting, searching) can be checked
// for losses. Markdown and source code keep their own spelling; HTML is
// rendered to text, without scripts and styles. Nothing here does I/O.
package extract
