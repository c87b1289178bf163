// Package serve is the HTTP side of the gateway: it turns the contract into
// routes and each call into one question on the bus.
//
// There is no handler per endpoint. [New] registers one route per operation of
// the contract; the chain in chain.go says in which order a call is looked at,
// and dispatch.go how it is delivered. Only operations with x-delivery edge are
// answered here (edge.go lists them), and New refuses a contract that names
// one that this package does not know, or the other way round.
//
// What is promised of every answer, also of 404, 405, 422, 429 and 500: a
// request id, the security headers, and for failures a problem document.
package serve
