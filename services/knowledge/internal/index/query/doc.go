// Package query reads what a person typed into a search box.
//
// A sentence stays a sentence: its words rank, and any of them matches. Who
// wants more says so with marks that sentences hardly have:
//
//	"exact words"      in this order, next to each other; required
//	+must  -without    required, excluded
//	a AND b, a OR b    required together, or one of them
//	NOT a, (a OR b)    excluded, grouped
//	embed*             any word with this beginning
//	retreival~1        any word at most one letter away (~2: two)
//	title:x symbol:x   a word of the title and headings, of the code symbol
//	path:x source:x    a word of the source's name, the whole name (docs/* works)
//	category:x collection:x lang:x
//
// Reading never fails. A mark that makes no sense where it stands (a quote
// that nothing closes, an operator without operands, a colon after a word that
// is no field) is punctuation, and a text without any lower-case letter has no
// operators in words.
package query
