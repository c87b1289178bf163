package serve_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

func TestGuessedKeysAndCookiesCostNoQuestionsWithoutEnd(t *testing.T) {
	t.Parallel()
	const path = "/api/v1/knowledge/categories"
	for name, guess := range map[string]func(i int) change{
		"keys": func(int) change {
			k, err := apikey.New(access.Brand)
			if err != nil {
				t.Fatal(err)
			}
			return as(k.Reveal())
		},
		"cookies": func(i int) change { return with("Cookie", "cc_session=ccs_guess"+strconv.Itoa(i)) },
	} {
		w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Anonymous = &contract.Rate{N: 5, Per: time.Minute} })
		known := as(w.auth.issue(access.APIKey{ID: "k-1", Project: 1, User: owner}, "*:read"))
		late := as(w.auth.issue(access.APIKey{ID: "k-2", Project: 1, User: owner}, "*:read"))
		if got := w.call("GET", path, "", known); got.status != 200 {
			t.Fatalf("%s: a key got %d", name, got.status)
		}
		before := w.auth.found()
		for i := range 30 {
			want := 401
			if i >= 5 {
				want = 429
			}
			if got := w.call("GET", path, "", guess(i)); got.status != want || want == 429 && got.header.Get("Retry-After") == "" {
				t.Errorf("%s, guess %d: %d", name, i, got.status)
			}
		}
		if n := w.auth.found() - before; n != 6 {
			t.Errorf("%s: %d questions", name, n)
		}
		if got := w.call("GET", path, "", known); got.status != 200 {
			t.Errorf("%s: a caller who is known got %d", name, got.status)
		}
		if got := w.call("GET", path, "", late); got.status != 429 { // nobody can say yet who that is
			t.Errorf("%s: a caller who is not seen yet got %d", name, got.status)
		}
	}
}

func TestAKeyThatIsNoneIsAskedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, err := apikey.New(access.Brand)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		for _, c := range []change{as(k.Reveal()), with("Cookie", "cc_session=ccs_stranger")} {
			if got := w.call("GET", "/api/v1/knowledge/categories", "", c); got.status != 401 {
				t.Errorf("%d", got.status)
			}
		}
	}
	if n := w.auth.found(); n != 2 {
		t.Errorf("%d questions", n)
	}
}
