// Package bustest gives a test its own bus: an embedded NATS server in memory,
// with the same trust, streams and consumers as the real one, and connections
// as any service.
//
// Users may do everything here unless the test states their contracts; what a
// service may do is tested where its contract is.
package bustest
