package instance

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// invent has strangers heard, who do not sign.
func invent(t *testing.T, c *Catalog, now time.Time, name string, n int) (refused int) {
	t.Helper()
	for i := range n {
		if err := c.Hear(t.Context(), Heartbeat{Slug: fmt.Sprintf("%s-%d", name, i), Sent: now, Heard: now}); errors.Is(err, ErrFull) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return refused
}

func TestInventedInstancesDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	if n := invent(t, c, *now, "invented", maxInstances); n != maxInstances-maxUnsigned {
		t.Errorf("%d were refused", n)
	}
	if err := c.Hear(t.Context(), Heartbeat{Slug: "north", Key: keyA, Sequence: 1, Sent: *now, Heard: *now}); err != nil {
		t.Errorf("one that signs: %v", err)
	}
	if _, _, err := c.Register(t.Context(), Registration{Slug: "south", Source: FromAPI}); err != nil {
		t.Errorf("the administrator: %v", err)
	}
	// Those that are silent make place, the oldest first, and never one that
	// somebody has admitted.
	if _, err := c.Admit(t.Context(), "invented-0", ""); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Hour)
	if n := invent(t, c, *now, "later", 10); n != 0 {
		t.Errorf("%d were refused in place of those that are gone", n)
	}
	for _, slug := range []string{"north", "south", "invented-0", "later-9"} {
		if _, there := m.rows[slug]; !there {
			t.Errorf("%s had to leave", slug)
		}
	}
}

func TestOnlyThoseWhoWereRegisteredFillTheCatalogForTheAdministrator(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	for i := range maxInstances {
		slug := fmt.Sprintf("i%d", i)
		m.rows[slug] = Instance{Slug: slug, Source: FromAPI, Admitted: true, Version: 1}
	}
	m.rows["i7"] = Instance{Slug: "i7", Source: FromHeartbeat, Key: keyA, Beats: 1, LastHeartbeat: *now, Version: 1}
	if err := c.Hear(t.Context(), Heartbeat{Slug: "one-more", Key: keyB, Sent: *now, Heard: *now}); !errors.Is(err, ErrFull) {
		t.Errorf("a pinned key has to stay: %v", err)
	}
	if _, _, err := c.Register(t.Context(), Registration{Slug: "south", Source: FromAPI}); err != nil {
		t.Errorf("a stranger has to make place: %v", err)
	}
	if _, _, err := c.Register(t.Context(), Registration{Slug: "west", Source: FromAPI}); errs.KindOf(err) != errs.Conflict {
		t.Errorf("%v, want that it is full", err)
	}
}

func TestOneThatMadePlaceIsNewWhenHeardInTheSameRound(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	invent(t, c, *now, "invented", maxUnsigned)
	old := m.rows["invented-0"]
	old.LastHeartbeat = now.Add(-time.Second)
	m.rows["invented-0"] = old
	*now, m.facts = now.Add(time.Hour), nil
	beats := []Heartbeat{{Slug: "new", Sent: *now, Heard: *now}, {Slug: "invented-0", Sent: *now, Heard: *now}}
	for n, err := range c.HearAll(t.Context(), beats) {
		if err != nil {
			t.Errorf("%s: %v", beats[n].Slug, err)
		}
	}
	if n := len(m.facts); n != 4 || m.facts[3] != "registered invented-0 heartbeat" || m.rows["invented-0"].Beats != 1 {
		t.Errorf("said %v, row %+v", m.facts, m.rows["invented-0"])
	}
}

func TestOneKeyFillsNoMoreThanItsPlaces(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{Unknown: List})
	hear := func(slug, key string) error {
		return c.Hear(t.Context(), Heartbeat{Slug: slug, Key: key, Sent: *now, Heard: *now})
	}
	for i := range maxOfKey {
		if err := hear(fmt.Sprintf("invented-%d", i), keyA); err != nil {
			t.Fatal(err)
		}
	}
	if err := hear("one-too-many", keyA); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "with one key") {
		t.Errorf("beyond the bound: %v", err)
	}
	if err := hear("another", keyB); err != nil {
		t.Errorf("another key: %v", err)
	}
	*now = now.Add(time.Minute)
	if err := hear("invented-0", keyA); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if i := m.rows["invented-0"]; i.Source != FromHeartbeat {
		t.Errorf("%+v", i)
	}
	if _, err := c.Admit(t.Context(), "invented-0", ""); err != nil { // a stranger no more
		t.Fatal(err)
	}
	if err := hear("in-its-place", keyA); err != nil {
		t.Errorf("a place that is free again: %v", err)
	}
}
