package main_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
)

const guestPassword = "correct horse battery staple"

// guest registers an account by an invitation to a project, which is its default
// then, and logs it in.
func (p *product) guest(owner *caller, project int64, email, role string) (who *caller, id int64) {
	p.t.Helper()
	var inv struct{ Token string }
	owner.json("POST", fmt.Sprintf("/api/v1/projects/%d/invitations", project), map[string]any{"role": role, "email": email}, 201, &inv)
	var made struct{ ID int64 }
	p.caller("").json("POST", "/api/v1/auth/register", map[string]any{"email": email, "password": guestPassword, "invitation": inv.Token}, 201, &made)
	return p.login(email, guestPassword), made.ID
}

func (c *caller) project(name string) (id int64) {
	c.t.Helper()
	var made struct{ ID int64 }
	c.json("POST", "/api/v1/projects", map[string]string{"name": name}, 201, &made)
	return made.ID
}

// lateWrites gives writes of members to a service that is away, and then takes
// their right to some of them. It returns where each ends, and in which project.
func lateWrites(t *testing.T, p *product, owner *caller) (ends map[string]string, project string) {
	t.Helper()
	id := owner.project("late")
	project = strconv.FormatInt(id, 10)
	ends = map[string]string{}
	for i, fate := range []string{"removed", "demoted", "still a member"} {
		who, user := p.guest(owner, id, fmt.Sprintf("guest%d@example.org", i), "member")
		h := who.json("POST", "/api/v1/knowledge/documents/text", map[string]string{"title": fate, "category": "docs", "content": "A member of then wrote this."}, 202, nil, "Prefer", "respond-async")
		ends[fate] = h.Get("Location")
		member := fmt.Sprintf("/api/v1/projects/%d/members/%d", id, user)
		switch fate {
		case "removed":
			owner.json("DELETE", member, nil, 204, nil)
		case "demoted":
			owner.json("PUT", member, map[string]string{"role": "viewer"}, 200, nil)
		}
	}
	// What runs within two seconds of its acceptance is taken as the edge saw it.
	var end operation
	owner.json("GET", ends["still a member"]+"?wait=3", nil, 200, &end, "X-Project-ID", project)
	if end.Status != "pending" {
		t.Errorf("a write to nobody: %+v", end)
	}
	return ends, project
}

// The default project of who is removed is another: neither the stream nor who
// takes it up again goes on there.
func TestWhoIsRemovedFollowsNoLonger(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	who, id := p.guest(owner, 1, "guest@example.org", "member")
	if code, _, errs := runIn(t.Context(), strings.NewReader(guestPassword+"\n"), "login", "--email", "guest@example.org", "--password-stdin", "--data-dir", t.TempDir(), "--server", p.url); code != 0 {
		t.Fatalf("login: %d %s", code, errs)
	}
	followed := &tail{}
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(t.Context(), []string{"bus", "events", "--follow", "--data-dir", t.TempDir(), "--server", p.url}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: followed})
	}()
	followed.await(t, "Following")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+who.token)
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", res, err)
	}
	defer res.Body.Close()
	owner.json("DELETE", fmt.Sprintf("/api/v1/projects/1/members/%d", id), nil, 204, nil)
	removed := time.Now()
	rest, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(rest), "event: closed") {
		t.Errorf("%v: %s", err, rest)
	}
	t.Logf("the stream ended %v after the answer", time.Since(removed))
	select {
	case code := <-ended:
		if code == 0 || !strings.Contains(followed.String(), "403") {
			t.Errorf("following ended with %d: %s", code, followed)
		}
	case <-time.After(patience):
		t.Errorf("it is followed still: %s", followed)
	}
}
