package sample

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed documents
var documents embed.FS

// Document is one that was built in.
type Document struct {
	Name string
	Data []byte
}

// Documents lists them by name.
func Documents() ([]Document, error) {
	var out []Document
	err := fs.WalkDir(documents, "documents", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := documents.ReadFile(path)
		out = append(out, Document{strings.TrimPrefix(path, "documents/"), data})
		return err
	})
	return out, err
}

// IsRepository reports whether dir is the root of this product's repository.
func IsRepository(dir string) bool {
	for _, f := range []string{"go.work", "services/gateway/openapi.yaml", "services/commandcenter/main.go"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f))); err != nil {
			return false
		}
	}
	return true
}
