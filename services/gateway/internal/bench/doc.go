// Package bench measures what the edge costs: run
//
//	go test -run '^$' -bench . -benchtime 1x ./services/gateway/internal/bench
//
// BenchmarkEdge asks three things at 2,000 calls a second, in turns within one
// run: a handler that does nothing over HTTP, the same bytes over raw NATS, and
// a trivial operation through the gateway with authentication, validation,
// tracing, metrics and the access log on. What it reports as overhead is the
// third less the sum of the other two. BenchmarkOverload offers ten times as
// much and counts what is answered.
//
// Client, gateway, bus server and service share one process and its cores.
package bench
