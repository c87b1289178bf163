package serve

import (
	"context"
	"encoding/json"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

// Import is how the service takes in what was exported.
func Import(book *schema.Book) portable.Importer {
	return portable.Importer{Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
		"schemas": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			var r struct {
				Team     string          `json:"team"`
				Noun     string          `json:"noun"`
				Fact     string          `json:"fact"`
				Version  int             `json:"version"`
				Document json.RawMessage `json:"document"`
			}
			if err := json.Unmarshal(row, &r); err != nil {
				return false, errs.Wrap(errs.Invalid, err, "a schema cannot be read")
			}
			_, _, err := book.Register(ctx, to.Project, schema.Name{Team: r.Team, Noun: r.Noun, Fact: r.Fact, Version: r.Version}, r.Document, to.Principal)
			return err == nil, err
		},
	}}
}
