// Package encodertest is a model for tests: small, deterministic, and with a
// little sense. Texts that share words are near each other, and words of one
// group of synonyms count as the same word.
package encodertest
