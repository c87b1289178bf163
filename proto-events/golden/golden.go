// Package golden keeps one example of every fact, written when the fact was
// first declared and never changed after: what was once said must be read for
// ever. Services use the examples to test what they hear.
package golden

import (
	"embed"
	"fmt"

	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"
)

// Files holds <ID>.json, what was written on the wire, and <ID>.hex, the same
// message in binary protobuf, for each fact of the catalogue.
//
//go:embed *.json *.hex
var Files embed.FS

// Fill reads the example of m's fact into m, whose fields it replaces. It fails
// when m is no fact.
func Fill(m proto.Message) error {
	d, err := events.Describe(m)
	if err != nil {
		return err
	}
	// A filled message of a fact that any service may say names its service; the
	// example is filed under the fact.
	for _, listed := range events.Catalogue() {
		if listed.Name == d.Name {
			d = listed
		}
	}
	data, err := Files.ReadFile(d.ID() + ".json")
	if err != nil {
		return fmt.Errorf("example of %s: %w", d.Name, err)
	}
	return events.Unmarshal(data, events.JSON, m)
}
