// Package gatewaytest holds answers of the HTTP interface against the
// contract. A test that talks through [Transport] fails when an answer has
// another status, media type or form than openapi.yaml says, or misses what
// every answer must have.
package gatewaytest
