package instance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var self = Self{Slug: "us", ID: "1f"}

const month = 30 * 24 * time.Hour

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const flat = `{"project_slug": "apollo", "hub_url": "https://apollo.example", "mesh_namespace": "hub.apollo", "timestamp": "2026-01-02T12:00:00.123456+00:00", "version": "0.9.0", "extra": 1}`

func TestHeartbeatsOfEveryFormAreRead(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal(flat)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString([]byte(flat))
	for name, body := range map[string]string{
		"E0":             flat,
		"E1":             `{"payload": ` + flat + `, "correlation_id": null}`,
		"E2":             `{"payload":` + flat + `,"correlation_id":"x","hub_id":"h"}`,
		"twice":          string(quoted),
		"base64":         `"` + b64 + `"`,
		"payload text":   `{"payload":` + string(quoted) + `,"correlation_id":null}`,
		"payload base64": `{"payload":"` + b64 + `","correlation_id":null}`,
		"bare base64":    b64,
		"its line":       b64 + "\n",
		"unpadded":       strings.TrimRight(b64, "="),
		"for URLs":       base64.URLEncoding.EncodeToString([]byte(strings.Replace(flat, `"extra": 1`, `"extra": "~~~???>>>"`, 1))),
		"E1 in base64":   base64.StdEncoding.EncodeToString([]byte(`{"payload": ` + flat + `, "correlation_id": null}`)),
		"text in base64": base64.StdEncoding.EncodeToString(quoted),
		"upper case":     strings.Replace(flat, `"apollo"`, `"APOLLO"`, 1),
		"naive time":     strings.Replace(flat, "+00:00", "", 1),
		"with Z":         strings.Replace(flat, "+00:00", "Z", 1),
		"blank in time":  strings.Replace(flat, "02T12", "02 12", 1),
	} {
		hb, err := Decode("apollo", []byte(body), noon)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := Heartbeat{Heard: noon, Slug: "apollo", HubURL: "https://apollo.example", Namespace: "hub.apollo", Version: "0.9.0", Sent: noon.Add(123456 * time.Microsecond)}
		if !hb.Sent.Equal(want.Sent) {
			t.Errorf("%s: sent %s, want %s", name, hb.Sent, want.Sent)
		}
		hb.Sent = want.Sent
		if !reflect.DeepEqual(hb, want) {
			t.Errorf("%s: %+v, want %+v", name, hb, want)
		}
	}
	hb, err := Decode("host-1", []byte(`{"hubId":"host-1","ts":"2026-01-02T12:00:01Z","ttlSec":10,"version":"0.1","tools":[]}`), noon)
	if err != nil || hb.Slug != "host-1" || hb.Version != "0.1" {
		t.Errorf("prototype: %+v %v", hb, err)
	}
	hb, err = Decode("old_name", []byte(`{"project_slug":"old_name","hub_url":"ftp://x","timestamp":null,"version":7}`), noon)
	if err != nil || hb.HubURL != "" || hb.Version != "" || !hb.Sent.IsZero() {
		t.Errorf("wrong types lose their field and no more: %+v %v", hb, err)
	}
}

func TestHeartbeatsThatCannotBeTrueAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token, body string
		want        error
	}{
		"another's subject": {"gemini", flat, ErrForeign},
		"late":              {"apollo", strings.Replace(flat, "T12:00", "T11:54", 1), ErrClock},
		"early":             {"apollo", strings.Replace(flat, "T12:00", "T12:06", 1), ErrClock},
		"no time":           {"apollo", strings.Replace(flat, "2026-01-02T12", "yesterday", 1), ErrUnreadable},
		"namespace":         {"apollo", strings.Replace(flat, "hub.apollo", "veria.mesh", 1), ErrUnreadable},
		"no slug":           {"apollo", `{"hub_url":"http://x"}`, ErrUnreadable},
		"bad slug":          {"a b", `{"project_slug":"a b"}`, ErrUnreadable},
		"not JSON":          {"apollo", `hello`, ErrUnreadable},
		"null":              {"apollo", `null`, ErrUnreadable},
		"a list":            {"apollo", `[1]`, ErrUnreadable},
		"a word":            {"apollo", `"hello!"`, ErrUnreadable},
		"payload a number":  {"apollo", `{"payload":4}`, ErrUnreadable},
		"reserved":          {"global", `{"project_slug":"global"}`, ErrReserved},
		"reserved too":      {"PRESENCE", `{"hubId":"Presence"}`, ErrReserved},
		"NUL in version":    {"apollo", strings.Replace(flat, "0.9.0", `0.9\u0000`, 1), ErrUnreadable},
		"NUL in address":    {"apollo", strings.Replace(flat, "https://apollo", `https://apollo\u0000`, 1), ErrUnreadable},
		"NUL in slug":       {"apollo", strings.Replace(flat, `"apollo"`, `"apollo\u0000"`, 1), ErrUnreadable},
		"NUL in status":     {"apollo", strings.Replace(flat, `"extra": 1`, `"status":"\u0000"`, 1), ErrUnreadable},
		"NUL in envelope":   {"apollo", `{"payload":` + strings.Replace(flat, "0.9.0", `\u0000`, 1) + `}`, ErrUnreadable},
		"NUL at the end":    {"apollo", flat + "\x00", ErrUnreadable},
		"no UTF-8":          {"apollo", strings.Replace(flat, "0.9.0", "0.9\xff", 1), ErrUnreadable},
		"no UTF-8 aside":    {"apollo", strings.Replace(flat, `"extra": 1`, "\"extra\": \"\xc3\x28\"", 1), ErrUnreadable},
		"no UTF-8 inside":   {"apollo", base64.StdEncoding.EncodeToString([]byte(strings.Replace(flat, "0.9.0", "0.9\xff", 1))), ErrUnreadable},
		"too long":          {"apollo", strings.Replace(flat, "0.9.0", strings.Repeat("9", 70_000), 1), ErrUnreadable},
		"base64 of nothing": {"apollo", "====", ErrUnreadable},
		"empty":             {"apollo", "", ErrUnreadable},
		"too deep":          {"apollo", `{"payload":{"payload":{"payload":{"payload":` + flat + `}}}}`, ErrUnreadable},
	} {
		if _, err := Decode(c.token, []byte(c.body), noon); !errors.Is(err, c.want) {
			t.Errorf("%s: err = %v, want %v", name, err, c.want)
		}
	}
}

func TestOwnHeartbeatIsReadByItsOwnReaderAndIsFlat(t *testing.T) {
	t.Parallel()
	sent := Heartbeat{Slug: "us", ID: "1f", HubURL: "http://us:8000", Version: "1", Sent: noon, Degraded: true}
	data, err := sent.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode("us", data, noon)
	sent.Namespace, sent.Heard = "hub.us", noon
	if err != nil || !got.Sent.Equal(noon) {
		t.Fatalf("got %+v, %v", got, err)
	}
	got.Sent = noon
	if !reflect.DeepEqual(got, sent) {
		t.Fatalf("got %+v, want %+v", got, sent)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil || m["mesh_namespace"] != "hub.us" || m["timestamp"] != "2026-01-02T12:00:00.000000+00:00" {
		t.Fatalf("on the wire: %s", data)
	}
	if ValidSlug("global") || ValidSlug("presence") || !ValidSlug("global-1") {
		t.Fatal("slugs that other subjects use are reserved")
	}
	if !ValidSlug("a-1") || ValidSlug("a_1") || ValidSlug("") || ValidSlug(strings.Repeat("a", 51)) || ValidSlug("-a") {
		t.Fatal("own slugs are 1 to 50 of a-z, 0-9 and -")
	}
}

func TestSilenceMakesAnInstanceDegradedAndThenOffline(t *testing.T) {
	t.Parallel()
	i := Instance{LastHeartbeat: noon, Beats: 1}
	for _, c := range []struct {
		after    time.Duration
		reported bool
		want     Status
	}{
		{0, false, Online}, {0, true, Degraded}, {50 * time.Second, false, Online}, {51 * time.Second, false, Degraded},
		{89 * time.Second, true, Degraded}, {90 * time.Second, false, Offline}, {time.Hour, true, Offline},
	} {
		i.ReportedDegraded = c.reported
		if got := i.StatusAt(noon.Add(c.after)); got != c.want {
			t.Errorf("after %s, reported %v: %s, want %s", c.after, c.reported, got, c.want)
		}
	}
}

// memory is a store for the rules alone; the real one has the same tests of
// behaviour in its own room.
type memory struct {
	mu      sync.Mutex
	rows    map[string]Instance
	said    []Change
	facts   []string
	poison  string // a slug that cannot be saved
	failing error
}

var errPoison = errors.New("it cannot be saved")

func (m *memory) changes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.said)
}

func (m *memory) Atomically(ctx context.Context, fn func(context.Context) error) error {
	return fn(ctx)
}

func (m *memory) Find(_ context.Context, slug string) (Instance, bool, error) {
	i, ok := m.rows[slug]
	return i, ok, m.failing
}
func (m *memory) FindAll(_ context.Context, slugs []string) (map[string]Instance, error) {
	out := map[string]Instance{}
	for _, slug := range slugs {
		if i, ok := m.rows[slug]; ok {
			out[slug] = i
		}
	}
	return out, m.failing
}
func (m *memory) Claim(context.Context, string) error { return m.failing }
func (m *memory) Count(context.Context) (Census, error) {
	n := Census{All: len(m.rows)}
	for _, i := range m.rows {
		if i.Source == FromHeartbeat {
			n.Strangers++
			if i.Key == "" {
				n.Unsigned++
			}
		}
	}
	return n, m.failing
}
func (m *memory) CountKey(_ context.Context, key string) (n int, err error) {
	for _, i := range m.rows {
		if i.Source == FromHeartbeat && i.Key == key {
			n++
		}
	}
	return n, m.failing
}
func (m *memory) LeastStranger(context.Context) (least Instance, found bool, err error) {
	for _, i := range m.rows {
		if i.Source != FromHeartbeat {
			continue
		}
		if before := least.Key != "" && i.Key == "" || (least.Key == "") == (i.Key == "") && i.LastHeartbeat.Before(least.LastHeartbeat); !found || before {
			least, found = i, true
		}
	}
	return least, found, m.failing
}
func (m *memory) Save(_ context.Context, i Instance) (int, error) {
	if m.poison != "" && i.Slug == m.poison {
		return 0, errPoison
	}
	i.Version = m.rows[i.Slug].Version + 1
	m.rows[i.Slug] = i
	return i.Version, nil
}
func (m *memory) All(context.Context) ([]Instance, error) {
	var out []Instance
	for _, i := range m.rows {
		out = append(out, i)
	}
	return out, m.failing
}
func (m *memory) Delete(_ context.Context, slug string) error {
	delete(m.rows, slug)
	return nil
}
func (m *memory) Get(ctx context.Context, slug string) (Instance, bool, error) {
	return m.Find(ctx, slug)
}
func (m *memory) KeyOf(_ context.Context, hash []byte) (Instance, bool, error) {
	for _, i := range m.rows {
		if bytes.Equal(i.KeyHash, hash) {
			return i, true, m.failing
		}
	}
	return Instance{}, false, m.failing
}
func (m *memory) Registered(_ context.Context, i Instance) error {
	m.facts = append(m.facts, "registered "+i.Slug+" "+i.Source)
	return nil
}
func (m *memory) Removed(_ context.Context, i Instance, reason string) error {
	m.facts = append(m.facts, reason+" "+i.Slug)
	return nil
}
func (m *memory) Announce(_ context.Context, c Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, c)
	return nil
}

func TestCatalogSaysEachChangeOnce(t *testing.T) {
	t.Parallel()
	now := noon
	m := &memory{rows: map[string]Instance{}}
	c := NewCatalog(m, self, Rules{Forget: month}, func() time.Time { return now })
	ctx := t.Context()
	hear := func(slug string, sent time.Time, want error) {
		t.Helper()
		take := c.Hear
		if slug == self.Slug {
			take = c.Sent
		}
		if err := take(ctx, Heartbeat{Slug: slug, Sent: sent, Heard: now}); !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
	hear("apollo", now, nil)
	hear("apollo", now, ErrAgain)
	hear("apollo", now.Add(-time.Second), ErrReplay)
	hear("us", now, nil)
	if len(m.said) != 2 || m.rows["apollo"].Version != 1 {
		t.Fatalf("said %+v, rows %+v", m.said, m.rows)
	}
	for range 3 {
		now = now.Add(40 * time.Second)
		hear("us", now, nil)
		if _, err := c.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	hear("apollo", now, nil)
	var got []string
	for _, s := range m.said {
		got = append(got, s.Instance.Slug+":"+string(s.Previous)+">"+string(s.Instance.Status))
	}
	if want := "apollo:>online us:>online apollo:online>degraded apollo:degraded>offline apollo:offline>online"; strings.Join(got, " ") != want {
		t.Fatalf("said %s\nwant %s", strings.Join(got, " "), want)
	}
	now = now.Add(2 * time.Minute)
	list, err := c.List(ctx, "")
	if err != nil || len(list) != 2 || list[0].Slug != "us" || !list[0].Self || list[1].Status != Offline {
		t.Fatalf("list %+v, %v: want this instance first, and statuses as of now", list, err)
	}
	if list, err := c.List(ctx, Online); err != nil || len(list) != 0 {
		t.Fatalf("online now: %+v, %v", list, err)
	}
}

func TestCatalogIsBounded(t *testing.T) {
	t.Parallel()
	m := &memory{rows: map[string]Instance{}}
	for i := range maxInstances {
		m.rows[time.Duration(i).String()] = Instance{}
	}
	c := NewCatalog(m, self, Rules{Forget: month}, func() time.Time { return noon })
	if err := c.Hear(t.Context(), Heartbeat{Slug: "one-more"}); !errors.Is(err, ErrFull) {
		t.Fatalf("err = %v, want ErrFull", err)
	}
	if err := c.Room(t.Context()); !errors.Is(err, ErrFull) {
		t.Fatalf("room: %v, want ErrFull", err)
	}
	if err := c.Sent(t.Context(), Heartbeat{Slug: "us"}); err != nil {
		t.Fatalf("this instance is always taken in: %v", err)
	}
	m.failing = errors.New("no database")
	for _, err := range []error{c.Hear(t.Context(), Heartbeat{Slug: "x"}), c.Room(t.Context()), second(c.Sweep(t.Context())), second(c.List(t.Context(), ""))} {
		if !errors.Is(err, m.failing) {
			t.Fatalf("err = %v, want the store's", err)
		}
	}
}

func TestSilenceIsMeasuredFromWhenAHeartbeatCameIn(t *testing.T) {
	t.Parallel()
	now := noon
	m := &memory{rows: map[string]Instance{}}
	c := NewCatalog(m, self, Rules{Forget: month}, func() time.Time { return now })
	for n, h := range []struct {
		sent, heard time.Time
		want        Status
		last        time.Time
	}{
		{noon.Add(-70 * time.Second), noon.Add(-70 * time.Second), Degraded, noon.Add(-70 * time.Second)}, // it waited
		{noon.Add(-10 * time.Second), noon.Add(-5 * time.Second), Online, noon.Add(-5 * time.Second)},     // the next one
		{noon.Add(-8 * time.Second), noon.Add(-6 * time.Second), Online, noon.Add(-5 * time.Second)},      // by a slower way
		{time.Time{}, noon.Add(-time.Hour), Online, noon.Add(-5 * time.Second)},                           // old, and says no time
		{time.Time{}, noon.Add(-time.Second), Online, noon.Add(-time.Second)},                             // new, and says no time
		{noon, noon, Online, noon},
	} {
		if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Sent: h.sent, Heard: h.heard}); err != nil && !errors.Is(err, ErrReplay) {
			t.Fatal(err)
		}
		if got := m.rows["apollo"]; got.Status != h.want || !got.LastHeartbeat.Equal(h.last) || !got.FirstSeen.Equal(noon.Add(-70*time.Second)) {
			t.Errorf("%d: %+v, want %s since %s", n, got, h.want, h.last)
		}
	}
	now = noon.Add(-time.Minute) // our clock was put back
	if err := c.Hear(t.Context(), Heartbeat{Slug: "apollo", Sent: noon.Add(time.Second), Heard: now}); err != nil || !m.rows["apollo"].LastHeartbeat.Equal(now) {
		t.Errorf("%v, %+v: a time to come is no silence that was heard", err, m.rows["apollo"])
	}
}

func TestAClockThatIsPutBackDoesNotTakeUsOffline(t *testing.T) {
	t.Parallel()
	now := noon
	m := &memory{rows: map[string]Instance{}}
	c := NewCatalog(m, self, Rules{Forget: month}, func() time.Time { return now })
	for _, jump := range []time.Duration{0, -time.Hour, 2 * time.Minute, 30 * time.Second} {
		now = now.Add(jump)
		if err := c.Sent(t.Context(), Heartbeat{Slug: "us", Sent: now}); err != nil {
			t.Fatal(err)
		}
		if got := m.rows["us"]; got.Status != Online || !got.LastHeartbeat.Equal(now) {
			t.Errorf("after %s: %+v", jump, got)
		}
	}
}

func TestWhoIsOfflineForAMonthIsForgotten(t *testing.T) {
	t.Parallel()
	m := &memory{rows: map[string]Instance{}}
	for slug, silence := range map[string]time.Duration{"us": 2 * month, "gone": month + OfflineAfter, "late": month, "new": 0} {
		m.rows[slug] = Instance{Slug: slug, Source: FromHeartbeat, Admitted: true, Beats: 1, Status: Offline, LastHeartbeat: noon.Add(-silence)}
	}
	m.rows["new"] = Instance{Slug: "new", Source: FromHeartbeat, Admitted: true, Beats: 1, Status: Online, LastHeartbeat: noon}
	m.rows["unsaid"] = Instance{Slug: "unsaid", Source: FromHeartbeat, Admitted: true, Beats: 1, Status: Online, LastHeartbeat: noon.Add(-2 * month)}
	c := NewCatalog(m, self, Rules{Forget: month}, func() time.Time { return noon })
	if n, err := c.Sweep(t.Context()); err != nil || n.Changed != 1 {
		t.Fatalf("%+v, %v", n, err)
	}
	if _, there := m.rows["gone"]; there || len(m.rows) != 4 {
		t.Errorf("rows %+v", m.rows)
	}
	if len(m.said) != 1 || m.said[0].Instance.Slug != "unsaid" || m.said[0].Instance.Status != Offline {
		t.Errorf("said %+v: nobody leaves unsaid", m.said)
	}
	if n, err := c.Sweep(t.Context()); err != nil || n.Changed != 0 || len(m.rows) != 3 {
		t.Errorf("%+v, %v, rows %+v", n, err, m.rows)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSweeperLooksAtOnceAndAtIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{rows: map[string]Instance{"apollo": {Slug: "apollo", Admitted: true, Beats: 1, Status: Online, LastHeartbeat: time.Now().Add(-61 * time.Second)}}}
		s := &Sweeper{Catalog: NewCatalog(m, self, Rules{Forget: month}, time.Now), Every: 5 * time.Second, Log: slog.New(slog.DiscardHandler)}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := m.changes(); n != 1 {
			t.Fatalf("at once: %d changes", n)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if err := s.Stop(t.Context()); err != nil || m.changes() != 2 {
			t.Fatalf("later: %d changes, err %v", m.changes(), err)
		}
	})
}
