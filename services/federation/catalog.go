package federation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// maxCatalog is the longest catalog file that is read, in bytes.
const maxCatalog = 1 << 20

// entry is one of the file. Its words are those of the original federation
// service, whose files are read as they are.
type entry struct {
	Slug      string   `yaml:"slug"`
	Name      string   `yaml:"name"`
	HubURL    string   `yaml:"hub_url"`
	Namespace string   `yaml:"mesh_namespace"`
	Tags      []string `yaml:"tags"`
	Fanout    []string `yaml:"allow_fanout"` // of the original, which did nothing with it
	Key       string   `yaml:"key"`
}

// readCatalog reads a catalog file and checks it, all faults at once.
func readCatalog(path string) ([]instance.Registration, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("catalog file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCatalog+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("catalog file: %w", err)
	}
	if len(data) > maxCatalog {
		return nil, fmt.Errorf("catalog file %s: more than %d bytes", path, maxCatalog)
	}
	var file struct {
		Projects []entry `yaml:"projects"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true) // a word that is misspelt would do nothing
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("catalog file %s: %w", path, err)
	}
	var out []instance.Registration
	var faults []error
	seen := map[string]bool{}
	for n, e := range file.Projects {
		r := instance.Registration{Slug: e.Slug, Name: e.Name, HubURL: e.HubURL, Tags: e.Tags, Key: e.Key}
		err := r.Validate()
		switch {
		case err != nil:
		case seen[e.Slug]:
			err = fmt.Errorf("%s is there twice", e.Slug)
		case e.Namespace != "" && e.Namespace != "hub."+e.Slug:
			err = fmt.Errorf("mesh_namespace %q: want hub.%s", e.Namespace, e.Slug)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("catalog file %s, entry %d: %w", path, n+1, err))
		}
		seen[e.Slug] = true
		out = append(out, r)
	}
	return out, errors.Join(faults...)
}

// filed is the part that brings what is in the file into the catalog.
type filed struct {
	catalog *instance.Catalog
	entries []instance.Registration
}

func (f filed) Name() string                    { return "catalog" }
func (f filed) Start(ctx context.Context) error { return f.catalog.Reconcile(ctx, f.entries) }
func (f filed) Stop(context.Context) error      { return nil }
