// Package serve answers the operations of the service. serve.go lists each of
// them; then there is a file per noun.
package serve
