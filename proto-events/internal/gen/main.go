package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	events "github.com/commandcenter/commandcenter/proto-events"
)

func main() {
	root := flag.String("root", ".", "root of the module proto-events")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes every file below root whose content is not what it should be, and
// removes schemas of facts that are gone.
func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := replace(filepath.Join(root, name), content); err != nil {
			return err
		}
	}
	schemas, err := filepath.Glob(filepath.Join(root, "schemas", "*.json"))
	if err != nil {
		return fmt.Errorf("list schemas: %w", err)
	}
	for _, path := range schemas {
		if _, wanted := files["schemas/"+filepath.Base(path)]; !wanted {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove a stale schema: %w", err)
			}
		}
	}
	return addExamples(root)
}

// generate returns the files that follow from the catalogue alone, by path
// relative to root. Examples are not among them: they are written once.
func generate(root string) (map[string][]byte, error) {
	said, err := readComments(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"EVENTS.md":     markdown(events.Catalogue(), events.Calls(), said),
		"asyncapi.yaml": asyncAPI(events.Catalogue(), said),
	}
	for _, d := range events.Catalogue() {
		files["schemas/"+d.ID()+".json"] = []byte(renderJSON(schemaOf(d, said)) + "\n")
	}
	return files, nil
}

func replace(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// oneLine joins a comment's lines.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
