package instance

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

func TestThePolicyDecidesAboutStrangers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy   Policy
		want     error
		listed   bool
		admitted bool
		facts    string
		changes  int
	}{
		{Ignore, ErrUnknown, false, false, "", 0},
		{List, nil, true, false, "", 0},
		{Admit, nil, true, true, "registered apollo heartbeat", 1},
		{"", nil, true, true, "registered apollo heartbeat", 1},
	} {
		cat, m, now := catalog(Rules{Unknown: c.policy})
		if err := cat.Hear(t.Context(), Heartbeat{Slug: "apollo", Sent: *now, Heard: *now}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.policy, err, c.want)
		}
		i, listed := m.rows["apollo"]
		if listed != c.listed || i.Admitted != c.admitted || strings.Join(m.facts, " ") != c.facts || len(m.said) != c.changes {
			t.Errorf("%s: %+v, said %v %v", c.policy, i, m.facts, m.said)
		}
	}
}

func TestWhoIsListedIsSaidWhenAdmitted(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{Unknown: List})
	if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Sent: *now, Heard: *now}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Admit(t.Context(), "gemini", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := c.Admit(t.Context(), "apollo", "no key"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a key that is none: %v", err)
	}
	for range 2 { // twice is once
		e, err := c.Admit(t.Context(), "apollo", "")
		if err != nil || !e.Admitted || e.Status != Online {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if !slices.Equal(m.facts, []string{"registered apollo api"}) || len(m.said) != 1 || m.said[0].Previous != "" {
		t.Errorf("said %v %+v", m.facts, m.said)
	}
	if err := c.Remove(t.Context(), "apollo"); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context(), "apollo"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := c.Remove(t.Context(), "us"); !errors.Is(err, ErrSelf) {
		t.Errorf("ourselves: %v", err)
	}
	if m.facts[len(m.facts)-1] != "removed apollo" {
		t.Errorf("said %v", m.facts)
	}
}

func TestAKeyOfTheAPIIsShownOnceAndKnownByItsDigest(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{Unknown: Ignore})
	e, key, err := c.Register(t.Context(), Registration{Slug: "apollo", Name: "Apollo", HubURL: "http://apollo", Tags: []string{"go"}, Key: keyA, Source: FromAPI})
	if err != nil || !strings.HasPrefix(key, "ccf_") || e.Status != Offline || !e.Admitted || e.Beats != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	if i := m.rows["apollo"]; len(i.KeyHash) != 32 || strings.Contains(string(i.KeyHash), key) || i.Key != keyA {
		t.Errorf("kept %+v", i)
	}
	if i, err := c.Holder(t.Context(), key); err != nil || i.Slug != "apollo" {
		t.Errorf("holder %+v, %v", i, err)
	}
	for _, wrong := range []string{"", "ccf_", key + "x", key[:len(key)-1], strings.Repeat("a", 500)} {
		if _, err := c.Holder(t.Context(), wrong); !errors.Is(err, ErrAPIKey) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, _, err := c.Register(t.Context(), Registration{Slug: "apollo", Source: FromAPI}); !errors.Is(err, ErrRegistered) {
		t.Errorf("again: %v", err)
	}
	if _, _, err := c.Register(t.Context(), Registration{Slug: "us", Source: FromAPI}); !errors.Is(err, ErrSelf) {
		t.Errorf("ourselves: %v", err)
	}
	// What was registered is not forgotten, and is heard under the policy too.
	*now = now.Add(2 * month)
	if _, err := c.Sweep(t.Context()); err != nil || len(m.rows) != 1 {
		t.Errorf("rows %+v, %v", m.rows, err)
	}
	if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Key: keyA, Sent: *now, Heard: *now}); err != nil {
		t.Error(err)
	}
	if i := m.rows["apollo"]; i.Status != Online || i.HubURL != "http://apollo" || i.Name != "Apollo" || i.Missed != 0 {
		t.Errorf("%+v", i)
	}
	if len(m.said) != 1 || m.said[0].Previous != Offline {
		t.Errorf("said %+v", m.said)
	}
}

func TestARegistrationThatCannotBeKeptNamesItsField(t *testing.T) {
	t.Parallel()
	for field, r := range map[string]Registration{
		"slug":    {Slug: "presence"},
		"name":    {Slug: "a", Name: "a\x1b[31m"},
		"hub_url": {Slug: "a", HubURL: "ftp://a"},
		"key":     {Slug: "a", Key: "no"},
		"tags":    {Slug: "a", Tags: []string{""}},
	} {
		err := r.Validate()
		if e := errs.As(err); e == nil || e.Kind != errs.Invalid || len(e.Fields) != 1 || e.Fields[0].Loc[1] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestARegistrationThatSaysTheSameChangesNothing(t *testing.T) {
	t.Parallel()
	c, m, _ := catalog(Rules{})
	r := Registration{Slug: "apollo", Name: "Apollo", Tags: []string{"go"}, Source: FromFile}
	for n, want := range []bool{true, false, false} {
		if _, created, err := c.Update(t.Context(), r); err != nil || created != want {
			t.Fatalf("%d: created %v, %v", n, created, err)
		}
	}
	if i := m.rows["apollo"]; i.Version != 1 || len(m.facts) != 1 || len(m.said) != 0 {
		t.Errorf("%+v, said %v %v", i, m.facts, m.said)
	}
	r.Name = "Apollo 11"
	if _, _, err := c.Update(t.Context(), r); err != nil || m.rows["apollo"].Name != "Apollo 11" || m.rows["apollo"].Version != 2 {
		t.Errorf("%+v, %v", m.rows["apollo"], err)
	}
	if _, err := c.Get(t.Context(), "gemini"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if e, err := c.Get(t.Context(), "apollo"); err != nil || e.Status != Offline || e.Self {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestTheNextSequenceIsAboveWhatIsKnown(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	if n, err := c.Next(t.Context()); err != nil || n != now.UnixMilli() {
		t.Errorf("%d, %v", n, err)
	}
	m.rows["us"] = Instance{Slug: "us", Sequence: now.Add(time.Hour).UnixMilli()}
	if n, err := c.Next(t.Context()); err != nil || n != now.Add(time.Hour).UnixMilli()+1 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAFaultOfOneHeartbeatDoesNotTakeTheOthersAlong(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	m.poison = "bad"
	errs := c.HearAll(t.Context(), []Heartbeat{
		{Slug: "zeus", Sent: *now, Heard: *now}, {Slug: "us", ID: "1f"}, {Slug: "bad", Sent: *now, Heard: *now}, {Slug: "apollo", Sent: *now, Heard: *now},
	})
	if errs[0] != nil && !errors.Is(errs[0], ErrAgain) || !errors.Is(errs[1], ErrOwn) || !errors.Is(errs[2], errPoison) || errs[3] != nil && !errors.Is(errs[3], ErrAgain) {
		t.Errorf("%v", errs)
	}
	if m.rows["zeus"].Beats != 1 || m.rows["apollo"].Beats != 1 {
		t.Errorf("%+v", m.rows)
	}
	// Two of the same instance: the second builds on the first.
	later := now.Add(time.Second)
	errs = c.HearAll(t.Context(), []Heartbeat{{Slug: "zeus", Sent: later, Heard: later}, {Slug: "zeus", Sent: later.Add(time.Second), Heard: later}, {Slug: "zeus", Sent: later, Heard: later}})
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], ErrReplay) || m.rows["zeus"].Beats != 3 {
		t.Errorf("%v, %+v", errs, m.rows["zeus"])
	}
}
