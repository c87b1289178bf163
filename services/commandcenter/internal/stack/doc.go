// Package stack puts services together into processes. It is the only code
// that imports several services.
//
// registry.go lists the services: how each is built, what it may do on the bus
// (from the two contracts, never by hand), its schema. parts.go makes what
// they stand on: NATS, PostgreSQL, the migrations, the first account. up.go is
// the list for everything in one process, serve.go for some of it in one,
// split.go starts one process for each and keeps them going, cluster.go decides
// which there are where each can be lost.
package stack
