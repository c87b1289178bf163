// Package source holds what the service fetches by itself: sources, when each is
// due, what a run of one does, and under which name a document is kept.
package source
