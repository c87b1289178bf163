package serve_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// pages has the audit log come in two pages, and calls between after the first.
func (w *world) pages(between func()) {
	w.bus.request = func(to bus.Target, _ tenant.Identity, payload []byte) (*bus.Answer, error) {
		head := `"next_before":null,"head":{"project_id":1,"seq":2,"hash":"x"}`
		if strings.Contains(string(payload), `"after":0`) {
			between()
			return &bus.Answer{Status: 200, Body: []byte(`{"entries":[{"seq":1}],"next_after":1,` + head + `}`)}, nil
		}
		return &bus.Answer{Status: 200, Body: []byte(`{"entries":[{"seq":2}],"next_after":null,` + head + `}`)}, nil
	}
}

func (w *world) export() (string, error) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", w.server.URL+"/api/v1/audit/export", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	as(w.auth.token(owner))(r)
	res, err := w.server.Client().Do(r)
	if err != nil { // it broke before the first bytes had left
		return "", err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // read, or broken off
	return string(body), err
}

func TestAnExportIsWholeOrBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pages(func() {})
	if text, err := w.export(); err != nil || text != "{\"seq\":1}\n{\"seq\":2}\n" {
		t.Errorf("%q, %v", text, err)
	}
	w = newWorld(t)
	w.pages(func() {
		w.auth.mu.Lock()
		w.auth.revoked["s-1"] = true
		w.auth.mu.Unlock()
		w.guard.ForgetSession("s-1")
	})
	if text, err := w.export(); err == nil || strings.Contains(text, "2") {
		t.Errorf("after the session has ended: %q, %v", text, err)
	}
}
