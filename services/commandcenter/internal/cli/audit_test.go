package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/audit"
)

func TestAnExportHoldsEntriesAndNothingThatNoHashCovers(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	e := audit.Entry{Chain: 7, Seq: 1, ID: "c", RecordedAt: at, AcceptedAt: at, LastAt: at, Count: 1, Service: "knowledge", Operation: "deleteDocument", Actor: "user:7", Status: 204}
	e.Hash = e.Sum()
	text, err := json.Marshal(struct {
		audit.Entry
		Said audit.Outcome `json:"outcome"`
	}{e, e.Outcome()})
	if err != nil {
		t.Fatal(err)
	}
	line := string(text)
	if r, err := verifyLines(strings.NewReader(line+"\n"), nil, nil); err != nil || !r.Sound || r.Entries != 1 {
		t.Fatalf("as it was exported: %+v, %v", r, err)
	}
	for name, bad := range map[string]string{
		"a field more":           strings.Replace(line, "{", `{"extra":1,`, 1),
		"a field in other case":  strings.Replace(line, "{", `{"ACTOR":"user:9",`, 1),
		"another outcome":        strings.Replace(line, `"outcome":"ok"`, `"outcome":"denied"`, 1),
		"torn":                   line[:len(line)-1],
		"something behind it":    line + " {}",
		"nothing of the kind":    "hello",
		"a list in place of one": "[" + line + "]",
	} {
		_, err := verifyLines(strings.NewReader(bad+"\n"), nil, nil)
		var coded codedError
		if !errors.As(err, &coded) || coded.code != exitRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
