// Package events is the catalogue of what may be said on the bus: facts that
// services state ([Catalogue]) and questions that they ask one another
// ([Calls]).
//
// A message declares itself by an option in its .proto file (see
// options/v1/commandcenter_options.proto). From the declaration follow its
// subject, the durable consumers, the permissions of each service's user,
// EVENTS.md, asyncapi.yaml and the JSON Schemas under schemas/; `make gen`
// writes the files.
//
// On the wire a fact is proto3 JSON with the names of the .proto file and
// defaults written ([Marshal]); binary protobuf is read as well when the
// content type says so ([Unmarshal]). The CloudEvents 1.0 attributes travel as
// headers ([Attributes]). Readers ignore fields that they do not know.
//
// Identifiers are int32, or strings where the .proto file says how they look:
// JSON readers lose bits of larger numbers. Field 1 of a fact is project_id (0
// for the instance), field 2, when there is one, identifies the aggregate, and
// field 3 is the version of the aggregate, assigned under the lock of its row:
// a reader drops what is older than what it has ([Aggregate]).
//
// The module imports nothing but protobuf, so that another team takes the
// contracts without our dependencies. Nothing here blocks or keeps state;
// everything is safe for concurrent use.
package events
