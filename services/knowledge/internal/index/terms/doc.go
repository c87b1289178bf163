// Package terms makes index terms of text: what a document and a query must
// share to match by words.
//
// Words are folded (case, accents of Latin letters), stop words dropped, and
// the rest stemmed, all by the language of the text. Identifiers and paths give their parts and
// themselves, so that both `parse config` and `ParseConfig` find
// `pkg/conf.ParseConfig`. Scripts without spaces give pairs of characters.
// Documents and queries are analysed alike.
package terms
