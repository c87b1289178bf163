// Package unigram cuts text as the multilingual models of the XLM-R family do:
// SentencePiece's Unigram, read from the tokenizer.json that is published with
// the model.
//
// A text is normalised by a table of the file, cut at blanks, and each word is
// divided into those pieces whose probabilities have the greatest product. A
// character without a piece is unknown, and neighbours of it that are so, too,
// are one with it.
package unigram
