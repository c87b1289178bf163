// Package serve answers the operations of the contract: it decodes, asks a noun, and
// puts the answer into its form.
package serve
