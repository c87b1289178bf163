// Command gen writes what follows from the catalogue of events: EVENTS.md,
// asyncapi.yaml, the JSON Schemas and the golden examples that are not there
// yet. `make gen` runs it in the module's root; it reads nothing but the
// catalogue and the comments of the generated Go files.
package main
