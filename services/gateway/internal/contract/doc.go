// Package contract turns the OpenAPI file into what the edge runs on: a table
// of operations, each with its compiled checks.
//
// [Load] reads and compiles the file once; afterwards everything is read-only
// and safe for any number of callers. A request is not only checked but
// rebuilt: what leaves [Operation.Parameters] and [Operation.JSON] holds the
// declared fields alone, under the spelling of the contract, each at most
// once, with defaults filled in and dates in UTC. So an unknown field can
// never be bound by a service, and no two readers of one body can disagree.
//
// A schema that uses a word that the checks do not know is refused by Load:
// a rule of the contract is enforced or the process does not start.
package contract
