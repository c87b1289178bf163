// Package client talks to a CommandCenter over its HTTP contract: the
// generated calls, and around them what a command line needs: tokens that are
// kept and refreshed, retries that repeat nothing, answers that came later.
//
// A [Session] is one server as one user. It authenticates with the first of:
// a token from the environment, the stored tokens of the last login, the
// owner's password of a data directory on this machine. Several processes may
// share the stored tokens: a refresh happens under a lock, because a refresh
// token that is used twice ends its session.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi.yaml ../../../gateway/openapi.yaml
