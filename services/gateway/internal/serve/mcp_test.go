package serve_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
)

func TestAListOfToolsHasWhatItsCallerMayUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		anyone  = "kb_health_check"
		person  = anyone + " federation_instances kb_create_project kb_list_projects operation_get"
		viewers = person + " events_list federation_search kb_answer kb_get_analytics kb_get_document kb_get_project_info kb_list_collections kb_list_documents kb_list_templates kb_search"
		members = viewers + " kb_delete_document kb_ingest"
		reads   = anyone + " kb_answer kb_get_analytics kb_get_document kb_list_collections kb_list_documents kb_list_templates kb_search"
	)
	w.auth.users[owner].roles[3] = tenant.Viewer
	key := func(user int64, scopes ...string) string {
		return w.auth.issue(access.APIKey{ID: strings.Join(scopes, " ") + string(rune('a'+user)), Project: 1, User: user}, scopes...)
	}
	for name, c := range map[string]struct {
		token, project, want string
	}{
		"nobody's":                   {w.auth.token(homeless), "", person},
		"a viewer":                   {w.auth.token(viewer), "", viewers},
		"a member":                   {w.auth.token(member), "", members},
		"the owner":                  {w.auth.token(owner), "", members + " kb_delete_project"},
		"the owner, a member there":  {w.auth.token(owner), "2", members},
		"the owner, a viewer there":  {w.auth.token(owner), "3", viewers},
		"a superuser":                {w.auth.token(superuser), "9", members + " kb_delete_project"},
		"a key that reads":           {key(owner, "knowledge:read"), "", reads},
		"a key that writes":          {key(owner, "knowledge:write"), "1", reads + " kb_delete_document kb_ingest"},
		"a viewer's key that writes": {key(viewer, "knowledge:write"), "", reads},
		"a key to everything":        {key(owner, "*:admin"), "", strings.ReplaceAll(members, " kb_create_project", "") + " kb_delete_project"},
		"a key to something else":    {key(owner, "audit:read"), "", anyone},
	} {
		changes := []change{as(c.token)}
		if c.project != "" {
			changes = append(changes, with("X-Project-ID", c.project))
		}
		got := w.call("POST", "/api/v1/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, changes...)
		var list struct {
			Result struct {
				Tools []struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
			t.Fatalf("%s: %d %s: %v", name, got.status, got.body, err)
		}
		var names []string
		for _, tool := range list.Result.Tools {
			names = append(names, tool.Name)
		}
		want := strings.Fields(c.want)
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("%s has %v, want %v", name, names, want)
		}
	}
	if n := w.bus.count(); n > 0 {
		t.Errorf("%d calls were made of lists", n)
	}
}

func TestAMessageThatIsNoneIsToldSoInItsProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := as(w.auth.token(owner))
	for body, want := range map[string]struct {
		status int
		text   string
	}{
		`{"jsonrpc"`:                                 {400, `"code":-32700`},
		`{"jsonrpc":"2.0","id":1}`:                   {400, `"code":-32600`},
		`{"jsonrpc":"2.0","id":1,"method":"nope"}`:   {200, `"code":-32601`},
		`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`: {200, `[{"jsonrpc":"2.0","id":1,"result":{}}]`},
	} {
		if got := w.call("POST", "/api/v1/mcp", body, token); got.status != want.status || !strings.Contains(got.body, want.text) {
			t.Errorf("%s: %d %s, want %d %s", body, got.status, got.body, want.status, want.text)
		}
	}
	w.auth.mu.Lock()
	w.auth.down = true
	w.auth.mu.Unlock()
	if got := w.call("POST", "/api/v1/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, as(w.auth.token(viewer))); got.status != 503 {
		t.Errorf("while nobody can say who may what: %d %s", got.status, got.body)
	}
}
