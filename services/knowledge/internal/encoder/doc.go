// Package encoder keeps the embedding model: it is loaded beside everything
// else, looked for again while it cannot be had, and announced when it is
// there. Until then the knowledge base works by words, and says so.
package encoder
