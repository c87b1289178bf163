package instance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	keyA = "UAP4BPSYFIZLY6ELAVNZTZ5CJ3C5B7ZDDQGQKXK4EKCHUMTRPFWKNDZZ"
	keyB = "UBP4BPSYFIZLY6ELAVNZTZ5CJ3C5B7ZDDQGQKXK4EKCHUMTRPFWKNDZZ"
	rich = `{"project_slug":"apollo","timestamp":"2026-01-02T12:00:00Z","sequence":7,"interval":30,"load":0.25,"contract":"0.1.0",` +
		`"capabilities":["search","search","No!"],"health":"degraded","key":"` + keyA + `","seal_key":"X` + keyB + `","signature":"AA=="}`
)

// digest stands for a key: the rooms have real ones.
type digest string

func (d digest) Public() string { return string(d) }
func (d digest) Sign(text []byte) ([]byte, error) {
	sum := sha256.Sum256(append([]byte(d), text...))
	return sum[:], nil
}

func check(key string, text, sig []byte) error {
	if want, _ := digest(key).Sign(text); !bytes.Equal(want, sig) {
		return errors.New("no")
	}
	return nil
}

func signed(t *testing.T, hb Heartbeat, key string) []byte {
	t.Helper()
	data, err := hb.Encode(digest(key))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestASignatureOutlivesEveryWrapping(t *testing.T) {
	t.Parallel()
	load := 0.1
	sent := Heartbeat{
		Slug: "apollo", ID: "1f", HubURL: "http://apollo:8000", Version: "1", Contract: "0.1.0", Capabilities: []string{"presence", "search"},
		Load: &load, Sent: noon, Sequence: 1767355200000, Interval: 30 * time.Second, SealKey: keyB,
	}
	data := signed(t, sent, keyA)
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(m, "", "  ") // numbers went through a float, keys were sorted
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"flat": data, "written again": bytes.ReplaceAll(indented, []byte("1.7673552e+12"), []byte("1767355200000")),
		"wrapped": []byte(`{"payload":` + string(data) + `,"hub_id":"h"}`), "base64": []byte(base64.StdEncoding.EncodeToString(data)),
	} {
		hb, err := Decode("apollo", body, noon)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := hb.Verify(check); err != nil || hb.Key != keyA {
			t.Errorf("%s: %v by %q", name, err, hb.Key)
		}
		if hb.Sequence != sent.Sequence || hb.Interval != sent.Interval || *hb.Load != 0.1 || hb.SealKey != keyB || hb.Contract != "0.1.0" || !reflect.DeepEqual(hb.Capabilities, sent.Capabilities) {
			t.Errorf("%s: %+v", name, hb)
		}
	}
}

func TestNothingThatIsSignedCanBeChanged(t *testing.T) {
	t.Parallel()
	data := string(signed(t, Heartbeat{
		Slug: "apollo", ID: "1f", HubURL: "http://apollo:8000", Version: "1", Contract: "2", Capabilities: []string{"a", "b"}, Sent: noon,
		Sequence: 5, Interval: 30 * time.Second, SealKey: keyB,
	}, keyA))
	for _, c := range [][2]string{
		{"apollo:8000", "apolla:8000"}, {`"version":"1"`, `"version":"3"`}, {`"status":"online"`, `"status":"degraded"`}, {`:00.000000`, `:01.000000`},
		{`"sequence":5`, `"sequence":6`}, {`"interval":30`, `"interval":31`}, {`"1f"`, `"1e"`}, {`"contract":"2"`, `"contract":"3"`},
		{`"health":"healthy"`, `"health":"degraded"`}, {`"a","b"`, `"a"`}, {keyB, keyA}, {`"key":"` + keyA, `"key":"` + keyB}, {`"signature":"`, `"signature":"AAAA`},
		{`"signature":"`, `"signature":"?`}, {`"project_slug"`, `"load":0.5,"project_slug"`},
	} {
		changed := strings.Replace(data, c[0], c[1], 1)
		if changed == data {
			t.Fatalf("no %s in %s", c[0], data)
		}
		hb, err := Decode("apollo", []byte(changed), noon)
		if err != nil {
			t.Errorf("%s: %v", c[1], err)
			continue
		}
		if err := hb.Verify(check); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want a refusal", c[1], err)
		}
	}
}

func TestExtrasThatMakeNoSenseAreNotThere(t *testing.T) {
	t.Parallel()
	hb, err := Decode("apollo", []byte(rich), noon)
	if err != nil || !reflect.DeepEqual(hb.Capabilities, []string{"search"}) || !hb.Degraded || hb.SealKey != "" || hb.Sequence != 7 || hb.Key != keyA {
		t.Errorf("%+v, %v", hb, err)
	}
	hb, err = Decode("apollo", []byte(`{"project_slug":"apollo","sequence":-1,"interval":3600,"load":2,"key":"no key","signature":"AA==","capabilities":"all"}`), noon)
	if err != nil || hb.Sequence != 0 || hb.Interval != 0 || hb.Load != nil || hb.Key != "" || hb.Signature != "" || hb.Capabilities != nil {
		t.Errorf("%+v, %v", hb, err)
	}
}

// catalog is one on memory, at a time that the test moves.
func catalog(r Rules) (*Catalog, *memory, *time.Time) {
	now := noon
	m := &memory{rows: map[string]Instance{}}
	r.Forget = month
	return NewCatalog(m, Self{Slug: "us", ID: "1f", Key: keyB}, r, func() time.Time { return now }), m, &now
}

func TestTheFirstKeyIsTheKey(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	hear := func(key string, seq int64, want error) {
		t.Helper()
		*now = now.Add(time.Second)
		if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Key: key, Sequence: seq, Sent: *now, Heard: *now, HubURL: "http://" + key}); !errors.Is(err, want) {
			t.Fatalf("%q %d: %v, want %v", key, seq, err, want)
		}
	}
	hear("", 1<<60, nil) // an old version, and a sequence that nobody stands for
	hear(keyA, 5, nil)
	hear("", 0, ErrUnsigned)
	hear(keyB, 6, ErrKey)
	hear(keyA, 5, ErrAgain)
	hear(keyA, 4, ErrReplay)
	hear(keyA, 6, nil)
	got := m.rows["apollo"]
	if got.Key != keyA || got.OtherKey != keyB || got.HubURL != "http://"+keyA || got.Beats != 3 || got.Sequence != 6 {
		t.Errorf("%+v", got)
	}
	before := got.Version
	hear(keyB, 7, ErrKey)
	if m.rows["apollo"].Version != before {
		t.Error("the same other key is written down once")
	}
	if _, err := c.Admit(t.Context(), "apollo", keyB); err != nil { // it has a new key
		t.Fatal(err)
	}
	hear(keyB, 1, nil)
	*now = now.Add(noteEvery)
	hear(keyA, 9, ErrKey)
	if got := m.rows["apollo"]; got.Key != keyB || got.OtherKey != keyA {
		t.Errorf("%+v", got)
	}
}

func TestKeysThatAlternateAreTakenDownOnceAMinute(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Key: keyA, Sequence: 1, Sent: *now, Heard: *now}); err != nil {
		t.Fatal(err)
	}
	told := 0
	for n := range 60 {
		*now = now.Add(2 * time.Second)
		other := []string{keyB, strings.Replace(keyB, "UB", "UC", 1)}[n%2]
		if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Key: other, Sent: *now, Heard: *now}); errors.Is(err, ErrOtherKey) {
			told++
		} else if !errors.Is(err, ErrKey) {
			t.Fatal(err)
		}
	}
	if told != 2 || m.rows["apollo"].Version != 3 {
		t.Errorf("told %d times in two minutes, version %d", told, m.rows["apollo"].Version)
	}
}

func TestOurOwnSlugByAnotherKeyIsACollision(t *testing.T) {
	t.Parallel()
	c, _, _ := catalog(Rules{})
	for key, want := range map[string]error{"": ErrOwn, keyB: ErrOwn, keyA: ErrCollision} {
		if err := c.Hear(t.Context(), Heartbeat{Slug: "us", ID: "1f", Key: key}); !errors.Is(err, want) {
			t.Errorf("key %q: %v, want %v", key, err, want)
		}
	}
}

func TestWhatTheTimesTellIsMeasured(t *testing.T) {
	t.Parallel()
	c, m, now := catalog(Rules{})
	// Its clock is two seconds behind, and the way takes 100 or 300 ms.
	for n, step := range []int{0, 30, 30, 120, 30} {
		*now = now.Add(time.Duration(step) * time.Second)
		way := time.Duration(100+200*(n%2)) * time.Millisecond
		if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Sent: now.Add(-2 * time.Second), Heard: now.Add(way)}); err != nil {
			t.Fatal(err)
		}
	}
	got := m.rows["apollo"]
	if got.Beats != 5 || got.Missed != 3 {
		t.Errorf("%d beats, %d missed; want 5 and 3", got.Beats, got.Missed)
	}
	if got.Skew > -2*time.Second || got.Skew < -2300*time.Millisecond {
		t.Errorf("skew %s", got.Skew)
	}
	if got.Jitter < 40*time.Millisecond || got.Jitter > 60*time.Millisecond { // four differences of 200 ms, smoothed
		t.Errorf("jitter %s", got.Jitter)
	}
}
