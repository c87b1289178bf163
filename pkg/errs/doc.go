// Package errs gives a failure a kind that survives the bus and becomes a
// status at the edge.
//
// A noun declares its failures as values of [Error]; every layer above wraps
// them with %w and never translates them. The bus carries kind, message and
// fields; the gateway maps the kind to an HTTP status in one place and hides
// the text of everything of kind [Internal]. What is lost at the boundary is
// the wrapped cause: it is logged by the service that decided, and never sent.
package errs
