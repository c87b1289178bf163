package ui_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/gateway/internal/ui"
)

func TestThePageAndAllThatItLoadsAreThere(t *testing.T) {
	t.Parallel()
	files, err := ui.Files()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, f := range files {
		if len(f.Body) == 0 {
			t.Errorf("%s is empty", f.Name)
		}
		kinds[f.Name] = f.Kind
	}
	for name, kind := range map[string]string{ui.Page: "text/html", "style.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		if !strings.HasPrefix(kinds[name], kind) {
			t.Errorf("%s is %q, want %s", name, kinds[name], kind)
		}
	}
}
