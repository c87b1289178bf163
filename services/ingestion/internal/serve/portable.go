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
			r, err := readSchema(row)
			if err != nil {
				return false, err
			}
			_, _, err = book.Register(ctx, to.Project, r.Name, r.Document, to.Principal)
			return err == nil, err
		},
	}}
}

// CheckSchema refuses a schema that could not have been registered.
func CheckSchema(row []byte) error {
	s, err := readSchema(row)
	if err != nil {
		return err
	}
	return s.Check()
}

func readSchema(row []byte) (schema.Schema, error) {
	var r struct {
		Team     string          `json:"team"`
		Noun     string          `json:"noun"`
		Fact     string          `json:"fact"`
		Version  int             `json:"version"`
		Document json.RawMessage `json:"document"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return schema.Schema{}, errs.Wrap(errs.Invalid, err, "it cannot be read as a schema")
	}
	return schema.Schema{Name: schema.Name{Team: r.Team, Noun: r.Noun, Fact: r.Fact, Version: r.Version}, Document: r.Document}, nil
}
