// Package serve answers the operations and the internal calls of the auth
// service. serve.go lists all of them; then there is a file per noun. Wire types
// are generated from the contract (api.gen.go); nothing here decides anything.
package serve
