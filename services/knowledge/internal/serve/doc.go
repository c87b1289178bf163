// Package serve answers the operations of the knowledge service: it turns
// payloads into what the nouns understand, and their results into the types of
// the contract. It decides nothing.
package serve
