// Package trie looks up the pieces of a vocabulary that a text begins with.
package trie
