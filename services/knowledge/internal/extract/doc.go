// Package extract turns the bytes of a document into structured text: a title
// and blocks in reading order, each with the headings or declarations that
// enclose it.
//
// It promises that every word that a reader of the document would see is in
// exactly one block, so that what follows (cutting, searching) can be checked
// for losses. Markdown and source code keep their own spelling; HTML is
// rendered to text, without scripts and styles. Office documents are ZIP archives
// and are read within bounds of what they unpack to. PDFs are read by PDFium in a
// WebAssembly sandbox. There is no I/O but a cache of the sandbox's compiled code
// and the program that does OCR, both optional.
package extract
