// Package obs makes a process visible: logs, traces, metrics.
//
// Logs are lines of JSON (or text) by slog. The handler adds trace_id,
// request_id, project and principal from the context, and blanks every
// attribute whose name says that it is a secret, wherever it is nested. Traces
// are OpenTelemetry; spans are recorded only when there is an endpoint to send
// them to, but trace ids exist and travel either way. Metrics are Prometheus,
// in a registry that is passed on, never the global one.
package obs
