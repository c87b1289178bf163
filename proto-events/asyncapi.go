package events

import (
	_ "embed"
	"slices"
)

//go:embed asyncapi.yaml
var asyncAPI []byte

// AsyncAPI is the catalogue as an AsyncAPI 3.0 document, in YAML.
func AsyncAPI() []byte { return slices.Clone(asyncAPI) }
