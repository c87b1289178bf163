package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

func TestAStreamThatBreaksIsTakenUpWhereItEnded(t *testing.T) {
	t.Parallel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Last-Event-ID")+"|"+r.URL.Query().Get("after"))
		w.Header().Set("Content-Type", "text/event-stream")
		switch len(asked) {
		case 1:
			fmt.Fprint(w, "retry: 1000\nid: 9-1\n\n: keep-alive\n\nid: 9-2\ndata: {\"id\":\"a\"}\n\nid: 9-3\ndata: {\"id\":\"half")
		case 2:
			fmt.Fprint(w, "event: reset\nid: 9-7\ndata: {}\n\nid: 9-8\ndata: {\"id\":\"b\"}\n\n")
		case 3:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	s, err := New(Config{Server: server.URL, Token: "t", Store: NewStore(t.TempDir() + "/c.json")})
	if err != nil {
		t.Fatal(err)
	}
	s.wait = func(context.Context, time.Duration) error { return nil }
	var heard []string
	var skipped error
	after := "9-0"
	err = s.Follow(t.Context(), FollowEventsParams{After: &after}, func(e Event) error { heard = append(heard, e.Id); return nil }, func(err error) { skipped = err })
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("ended with %v", err)
	}
	if want := []string{"|9-0", "9-2|", "9-8|"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if !slices.Equal(heard, []string{"a", "b"}) || !errors.Is(skipped, ErrReset) {
		t.Errorf("heard %q, skipped %v", heard, skipped)
	}
}
