package ui

import (
	"embed"
	"errors"
	"fmt"
	"path"
)

//go:embed assets
var files embed.FS

// Page is the name of the page itself among the files.
const Page = "index.html"

// Policy is the Content-Security-Policy of the files: scripts, styles, pictures
// and calls of this server alone, and no text that becomes markup.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// kinds are the media types of the files by extension.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// File is a file of the page.
type File struct {
	Name string // without directories
	Kind string // media type
	Body []byte
}

// Files returns the page and all that it loads. An error is a fault of the
// build: a file of a kind that is not known.
func Files() ([]File, error) {
	entries, err := files.ReadDir("assets")
	out := make([]File, 0, len(entries))
	for _, e := range entries {
		body, unread := files.ReadFile("assets/" + e.Name())
		kind, ok := kinds[path.Ext(e.Name())]
		if !ok {
			unread = fmt.Errorf("%s is of no known kind", e.Name())
		}
		err = errors.Join(err, unread)
		out = append(out, File{Name: e.Name(), Kind: kind, Body: body})
	}
	if err != nil {
		return nil, fmt.Errorf("search page: %w", err)
	}
	return out, nil
}
