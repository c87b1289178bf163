package instance

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAHeartbeatFromOutsideNeverTouchesOurOwnRow(t *testing.T) {
	t.Parallel()
	now := noon
	m := &memory{rows: map[string]Instance{}}
	c := NewCatalog(m, self, Rules{Forget: month}, func() time.Time { return now })
	if err := c.Sent(t.Context(), Heartbeat{Slug: "us", ID: "1f", HubURL: "http://us", Sent: now}); err != nil {
		t.Fatal(err)
	}
	was := m.rows["us"]
	now = now.Add(time.Second)
	for id, want := range map[string]error{"1f": ErrOwn, "2e": ErrCollision, "": ErrCollision} {
		if err := c.Hear(t.Context(), Heartbeat{Slug: "us", ID: id, HubURL: "http://them", Degraded: true, Sent: now}); !errors.Is(err, want) {
			t.Errorf("id %q: %v, want %v", id, err, want)
		}
	}
	if !reflect.DeepEqual(m.rows["us"], was) || m.changes() != 1 {
		t.Errorf("row %+v, was %+v", m.rows["us"], was)
	}
	if err := c.Sent(t.Context(), Heartbeat{Slug: "apollo", Sent: now}); !errors.Is(err, ErrForeign) || len(m.rows) != 1 {
		t.Errorf("another's heartbeat as sent by us: %v", err)
	}
}

func TestACollisionIsTheFirstOfARowOnceAndIsForgotten(t *testing.T) {
	t.Parallel()
	var c Collision
	if c.Lasts(noon) {
		t.Error("one that nobody has seen")
	}
	if !c.Note(noon) || c.Note(noon.Add(30*time.Second)) || c.Note(noon.Add(5*time.Minute)) {
		t.Error("want to be told of the first one alone")
	}
	if !c.Lasts(noon.Add(10*time.Minute)) || c.Lasts(noon.Add(10*time.Minute+time.Second)) {
		t.Error("want it to last five minutes after the last one")
	}
	if !c.Note(noon.Add(time.Hour)) {
		t.Error("one that comes back is not told")
	}
}

func TestWhatCannotBePrintedIsLeftOut(t *testing.T) {
	t.Parallel()
	hb, err := Decode("apollo", []byte(`{"project_slug":"apollo","version":"1\u001b[31m\n\u202e`+strings.Repeat("é", 60)+`","hub_url":"https://a/\u202e","instance_id":"no id"}`), noon)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hb.Version, "1[31mé") || len(hb.Version) != 99 || !utf8.ValidString(hb.Version) || hb.HubURL != "" || hb.ID != "" {
		t.Errorf("%+v, %d bytes", hb, len(hb.Version))
	}
}

// FuzzDecode holds what comes from outside to what the database takes and a
// terminal shows.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		flat, `{"payload":` + flat + `}`, `"e30="`, "eyJwcm9qZWN0X3NsdWciOiJhIn0", `{"hubId":"host-1","ts":"2026-01-02T12:00:01Z"}`, "\xff\x00", `{"project_slug":"global"}`,
		`{"project_slug":"a","version":"\u0000","hub_url":"http://\u202e","timestamp":"2026-01-02 12:00:00"}`, `{"payload":"{\"payload\":\"{}\"}"}`, rich, `{"project_slug":"K","version":"\ud800"}`,
	} {
		f.Add("apollo", []byte(s))
		f.Add("a", []byte(s))
	}
	f.Fuzz(func(t *testing.T, token string, data []byte) {
		hb, err := Decode(token, data, noon)
		if err != nil {
			for _, known := range []error{ErrUnreadable, ErrReserved, ErrForeign, ErrClock} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("%v is none of the reasons", err)
		}
		for _, s := range []string{hb.Slug, hb.ID, hb.HubURL, hb.Namespace, hb.Version} {
			if !utf8.ValidString(s) || printable(s, len(s)) != s || len(s) > 500 {
				t.Errorf("%q cannot be kept", s)
			}
		}
		if !slugPattern.MatchString(hb.Slug) || !strings.EqualFold(token, hb.Slug) || len(hb.Version) > 100 || len(hb.ID) > 64 {
			t.Errorf("%+v on %q", hb, token)
		}
		if hb.Namespace != "" && hb.Namespace != "hub."+hb.Slug {
			t.Errorf("namespace %q", hb.Namespace)
		}
		if d := noon.Sub(hb.Sent); !hb.Sent.IsZero() && (d > maxSkew || d < -maxSkew) {
			t.Errorf("sent %s", hb.Sent)
		}
		for _, s := range append([]string{hb.Key, hb.SealKey, hb.Contract}, hb.Capabilities...) {
			if printable(s, 100) != s {
				t.Errorf("%q cannot be kept", s)
			}
		}
		if len(hb.Capabilities) > 20 || hb.Sequence < 0 || hb.Interval < 0 || hb.Interval > maxInterval || hb.Load != nil && !(*hb.Load >= 0 && *hb.Load <= 1) {
			t.Errorf("%+v", hb)
		}
		if (hb.Key == "") != (hb.Signature == "") {
			t.Errorf("a key without a signature, or the other way: %+v", hb)
		}
		if _, err := hb.Encode(nil); err != nil {
			t.Error(err)
		}
	})
}
