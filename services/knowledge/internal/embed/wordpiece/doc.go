// Package wordpiece cuts text into the tokens that a lower-casing BERT model
// was trained on, as the model's tokenizer.json describes it: controls out,
// ideographs apart, accents off, lower case, words and punctuation apart, then
// the longest known pieces of each word from left to right.
//
// It agrees with the reference implementation token by token. Every token
// knows the bytes of the original text that it came from, so that a chunker
// can cut by tokens. Cost is linear in the text, whatever the text is.
package wordpiece
