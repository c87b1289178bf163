package serve

import (
	"context"
	"encoding/json"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Import is how the service takes in what was exported.
func Import(book *schema.Book, sources source.Book) portable.Importer {
	return portable.Importer{Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
		"schemas": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			r, err := readSchema(row)
			if err != nil {
				return false, err
			}
			_, _, err = book.Register(ctx, to.Project, r.Name, r.Document, to.Principal)
			return err == nil, err
		},
		"sources": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			d, err := readDraft(row)
			if err != nil || !sources.Known(d.Kind) {
				return false, err
			}
			d.Enabled = false // whoever looks at them first enables them
			_, err = sources.Add(ctx, to.Project, d, source.Credentials{}, to.Principal)
			return err == nil, err
		},
	}}
}

func readDraft(row []byte) (source.Draft, error) {
	var r struct {
		Type     string        `json:"type"`
		Name     string        `json:"name"`
		URL      string        `json:"url"`
		Path     string        `json:"path"`
		Schedule string        `json:"schedule"`
		Priority int           `json:"priority"`
		Config   source.Config `json:"config"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return source.Draft{}, errs.Wrap(errs.Invalid, err, "it cannot be read as a source")
	}
	return source.Draft{Kind: source.Kind(r.Type), Name: r.Name, URL: r.URL, Path: r.Path, Schedule: r.Schedule, Priority: r.Priority, Config: r.Config}, nil
}

// CheckSource refuses a source that could not have been added. One of a kind that
// there is not here is none of those.
func CheckSource(row []byte) error {
	d, err := readDraft(row)
	if err != nil {
		return err
	}
	return d.Normalise(func(k source.Kind) bool { return k != "" })
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
