package cli

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
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

func TestTheLogIsListedByNamesAndLooksBackInDays(t *testing.T) {
	t.Parallel()
	const page = `{"entries":[
		{"project_id":1,"seq":2,"id":"c","accepted_at":"2026-01-02T03:04:05Z","operation":"leaveProject","actor":"user:7","outcome":"ok","count":1},
		{"project_id":1,"seq":1,"id":"b","accepted_at":"2026-01-02T03:04:05Z","operation":"addDocument","actor":"service-account:3","outcome":"ok","count":1}],
		"next_before":null,"next_after":null,"head":{"project_id":1,"seq":2,"hash":"x"},"names":{"user:7":"jo@example.org"}}`
	s, run := tell(t, map[string]string{
		"GET /api/v1/audit": page,
		"GET /api/v1/keys":  `[{"id":"k-1","name":"ci","prefix":"cc_x","scopes":["*:read"],"holder":"user:7","holder_name":"jo@example.org"}]`,
	})
	before := time.Now()
	code, out, errs := run("", "audit", "list", "--since", "2d")
	took := time.Since(before)
	if code != exitOK || !strings.Contains(out, "jo@example.org") || strings.Contains(out, "user:7") || !strings.Contains(out, "service-account:3") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	_, query, _ := strings.Cut(s.last(), "?")
	asked, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	from, err := time.Parse(time.RFC3339, asked.Get("from"))
	if back := before.Sub(from); err != nil || back < 48*time.Hour-took-time.Second || back > 48*time.Hour+time.Second {
		t.Errorf("looks back %v, %v: %s", back, err, s.last())
	}
	for _, words := range [][]string{{"audit", "list", "--wide"}, {"key", "list", "--wide"}} {
		if _, out, _ := run("", words...); !strings.Contains(out, "jo@example.org (user:7)") {
			t.Errorf("%v: %s", words, out)
		}
	}
	if _, out, _ := run("", "key", "list"); !strings.Contains(out, "jo@example.org") || strings.Contains(out, "user:7") {
		t.Errorf("keys: %s", out)
	}
	if _, out, _ := run("", "audit", "list", "--json"); !strings.Contains(out, `"actor":"user:7"`) {
		t.Errorf("in JSON: %s", out)
	}
	if code, _, errs := run("", "audit", "list", "--since", "soon"); code != exitUsage || !strings.Contains(errs, "2d") {
		t.Errorf("soon: %d %s", code, errs)
	}
}

// TestTheLogOfAnOlderServerIsListed, which names nobody; and a hash is shown by its
// beginning, so that the table stays one.
func TestTheLogOfAnOlderServerIsListed(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0123456789abcdef", 4)
	_, run := tell(t, map[string]string{"GET /api/v1/audit": `{"entries":[{"project_id":0,"seq":1,"id":"b","accepted_at":"2026-01-02T03:04:05Z","operation":"purgeAudit",
		"actor":"service:auth","outcome":"ok","count":1,"target":[{"name":"last_hash","value":"` + hash + `"}]}],"next_before":null,"next_after":null,"head":{"project_id":0,"seq":1,"hash":"x"}}`})
	if code, out, errs := run("", "audit", "list", "--instance"); code != exitOK || !strings.Contains(out, "service:auth") || strings.Contains(out, hash) || !strings.Contains(out, "last_hash="+hash[:35]+"… ") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, out, _ := run("", "audit", "list", "--instance", "--wide"); !strings.Contains(out, hash) {
		t.Errorf("wide: %s", out)
	}
}

func TestWhatWasChangedIsShownInOne(t *testing.T) {
	t.Parallel()
	var all []client.AuditTarget
	for _, n := range [][2]string{
		{"user_id", "7"}, {"role.before", "viewer"}, {"role.after", "admin"}, {"limit.after", "5/minute"}, {"model.before", "x"}, {"name.before", "a"}, {"other.after", "b"},
	} {
		all = append(all, client.AuditTarget{Name: n[0], Value: n[1]})
	}
	want := "user_id=7 role=viewer→admin limit=5/minute model=x→none name=a→none other=b"
	if got := strings.Join(targets(all, false), " "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
