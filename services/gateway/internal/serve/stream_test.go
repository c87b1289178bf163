package serve_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// factWorld is an edge over a real stream of facts.
type factWorld struct {
	*world
	env  *bustest.Env
	ring *feed.Ring
	said int32 // versions of the one document of each project
}

func newFactWorld(t testing.TB, ring int, opts ...option) *factWorld {
	t.Helper()
	env := bustest.New(t, "knowledge", "auth")
	r := feed.NewRing(ring, 1<<20)
	env.Run(bus.NewFeed(env.Bus("gateway"), uint64(ring), r.Begin, r.Add))
	w := newWorld(t, append([]option{func(c *serve.Config, d *serve.Deps) {
		d.Bus, d.Ring = env.Bus("gateway"), r
		c.MaxStreams, c.MaxPerUser = 2000, 2000
	}}, opts...)...)
	w.client = w.server.Client() // the checking one reads answers whole
	return &factWorld{world: w, env: env, ring: r}
}

// say says that the next version of a document of project p was indexed.
func (w *factWorld) say(p int32) int32 {
	w.said++
	w.env.Say(&knowledgev1.DocumentIndexed{ProjectId: p, DocumentId: "7", Version: w.said, Title: "t"})
	return w.said
}

// heard waits until the edge has heard all that was said: what it hears later is news
// to a stream that begins, and to one that goes on far behind it.
func (w *factWorld) heard() {
	w.t.Helper()
	kept, err := w.env.Bus("gateway").KeptFacts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); w.ring.End().Seq < kept.End.Seq; {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("the edge has heard %v, and said was %v", w.ring.End(), kept.End)
		}
	}
}

// sse is one server-sent event as a client dispatches it.
type sse struct{ name, id, data string }

// client is an EventSource: it knows the last id that it was told.
type client struct {
	t       testing.TB
	w       *world
	path    string
	user    int64
	expires time.Time // of its token; zero: in an hour
	last    string
	body    io.ReadCloser
	lines   *bufio.Reader
	cancel  context.CancelFunc
}

func (w *world) source(path string, user int64) *client {
	c := &client{t: w.t, w: w, path: path, user: user}
	w.t.Cleanup(c.close)
	return c
}

func (c *client) token() string {
	if c.expires.IsZero() {
		return c.w.auth.token(c.user)
	}
	return c.w.auth.sign("k1", "at+jwt", map[string]any{"sub": c.user, "exp": c.expires.Unix()})
}

func (c *client) close() {
	if c.cancel != nil {
		c.cancel()
		_ = c.body.Close() // cut off
		c.cancel = nil
	}
}

// open connects, again with the last id.
func (c *client) open() int {
	c.t.Helper()
	c.close()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.w.server.URL+c.path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	as(c.token())(r)
	if c.last != "" {
		r.Header.Set("Last-Event-ID", c.last)
	}
	res, err := c.w.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.cancel, c.body, c.lines = cancel, res.Body, bufio.NewReader(res.Body)
	return res.StatusCode
}

// next is the next event that a client dispatches; ok is false at the end.
func (c *client) next() (e sse, ok bool) {
	stop := time.AfterFunc(patience, c.cancel)
	defer stop.Stop()
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if line != "\n" {
				continue // a comment
			}
			if e.id != "" {
				c.last = e.id
			}
			if e.data != "" {
				return e, true
			}
			e = sse{}
		}
	}
}

// version reads the next fact, which must be one.
func (c *client) version() int32 {
	c.t.Helper()
	e, ok := c.next()
	if !ok || e.name != "" {
		c.t.Fatalf("event %+v (%t), want a fact", e, ok)
	}
	var f struct {
		Project int32 `json:"project_id"`
		Data    struct {
			Version int32 `json:"version"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(e.data), &f); err != nil {
		c.t.Fatalf("%s: %v", e.data, err)
	}
	return f.Data.Version
}

func (c *client) started() *client {
	c.t.Helper()
	if status := c.open(); status != 200 {
		c.t.Fatalf("status %d", status)
	}
	return c
}

const streamPath = "/api/v1/events/stream"

func TestAStreamTellsTheFactsOfItsProjectAndNoOthers(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100)
	w.say(1)
	w.heard()
	c := w.source(streamPath, viewer).started()
	other := w.source(streamPath, stranger).started()
	w.say(2)
	w.say(9)
	want := w.say(1)
	if got := c.version(); got != want {
		t.Errorf("version %d, want %d", got, want)
	}
	if got := other.version(); got != want-1 {
		t.Errorf("the stranger got %d, want %d", got, want-1)
	}
}

func TestAStreamFiltersAndShowsWhatIsNotPublicToAdminsAlone(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100)
	if status := w.source(streamPath+"?internal=true", member).open(); status != 403 {
		t.Errorf("a member asks for what is internal: %d", status)
	}
	all, public := w.source(streamPath+"?internal=true", owner).started(), w.source(streamPath, owner).started()
	deleted := w.source(streamPath+"?fact=deleted&aggregate_id=8", owner).started()
	w.env.Say(&authv1.MembershipChanged{ProjectId: 1, MembershipId: "1:99", Version: 1, UserId: 99, Role: "viewer"})
	w.say(1)
	for _, id := range []string{"7", "8"} {
		w.env.Say(&knowledgev1.DocumentDeleted{ProjectId: 1, DocumentId: id, Version: 5})
	}
	if e, ok := all.next(); !ok || !strings.Contains(e.data, `"event":"auth.membership.changed.v1"`) {
		t.Errorf("an admin hears %+v", e)
	}
	if e, ok := public.next(); !ok || !strings.Contains(e.data, `"event":"knowledge.document.indexed.v1"`) {
		t.Errorf("the public stream tells %+v", e)
	}
	if e, ok := deleted.next(); !ok || !strings.Contains(e.data, `"aggregate_id":"8"`) {
		t.Errorf("the filtered stream tells %+v", e)
	}
}

func TestAStreamThatGoesOnMissesNothingFarFromTheRing(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 4)
	c := w.source(streamPath, viewer).started()
	first := w.say(1)
	if c.version() != first {
		t.Fatal("the first fact")
	}
	c.close()
	for range 50 {
		w.say(1)
		w.say(2)
	}
	w.heard()
	c.started()
	for want := first + 1; want <= w.said-1; want += 2 {
		if got := c.version(); got != want {
			t.Fatalf("version %d, want %d", got, want)
		}
	}
	want := w.say(1)
	if got := c.version(); got != want {
		t.Errorf("live: %d, want %d", got, want)
	}
}

func TestAPlaceThatIsNobodysIsAReset(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100)
	w.say(1)
	w.heard()
	now := w.source(streamPath, viewer).started()
	w.say(1)
	now.version()
	created, _, _ := strings.Cut(now.last, "-")
	for id, code := range map[string]string{"nonsense": "malformed", "12-1": "unknown", created + "-999999": "unknown"} {
		c := w.source(streamPath, viewer)
		c.last = id
		c.started()
		if e, ok := c.next(); !ok || e.name != "reset" || e.id == "" || !strings.Contains(e.data, `"code":"`+code+`"`) {
			t.Errorf("%s: %+v", id, e)
		}
		want := w.say(1)
		if got := c.version(); got != want {
			t.Errorf("%s: after the reset %d, want %d", id, got, want)
		}
	}
}

func TestAStreamEndsWhenTheRightToFollowEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*factWorld){
		"session": func(w *factWorld) {
			w.auth.mu.Lock()
			w.auth.revoked["s-1"] = true
			w.auth.mu.Unlock()
			w.guard.ForgetSession("s-1")
			w.edge.ForgetSession("s-1")
		},
		"membership": func(w *factWorld) {
			w.auth.mu.Lock()
			delete(w.auth.users[member].roles, 1)
			w.auth.mu.Unlock()
			w.guard.ForgetUser(member)
			w.edge.ForgetUser(member)
		},
		"project": func(w *factWorld) {
			w.auth.mu.Lock()
			delete(w.auth.users[member].roles, 1)
			w.auth.mu.Unlock()
			w.guard.ForgetProject(1)
			w.edge.ForgetProject(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFactWorld(t, 100)
			c := w.source(streamPath, member).started()
			w.say(1)
			c.version()
			end(w)
			if e, ok := c.next(); !ok || e.name != "closed" {
				t.Fatalf("%+v", e)
			}
			if e, ok := c.next(); ok {
				t.Errorf("after its end: %+v", e)
			}
			if status := c.open(); status != 401 && status != 403 {
				t.Errorf("comes back with %d", status)
			}
		})
	}
}

func TestAStreamEndsWhenItsTokenExpiresAndNotAtItsNextHeartbeat(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = time.Hour })
	c := w.source(streamPath, member)
	c.expires = time.Now().Add(-2 * time.Second) // and it is good for what clocks may differ
	c.started()
	if e, ok := c.next(); !ok || e.name != "closed" {
		t.Errorf("%+v", e)
	}
}

func TestWhileRightsCannotBeCheckedNothingIsTold(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = 20 * time.Millisecond })
	c := w.source(streamPath, member).started()
	first := w.say(1)
	c.version()
	set := func(down bool) {
		w.auth.mu.Lock()
		defer w.auth.mu.Unlock()
		w.auth.down = down
	}
	set(true)
	w.guard.ForgetUser(member)
	w.edge.ForgetUser(member)
	before := w.auth.count()
	for w.auth.count() == before { // a heartbeat was needed to ask in vain
		if _, err := c.lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if w.say(1); c.last == "" {
		t.Fatal("no place")
	}
	set(false)
	if got := c.version(); got != first+1 {
		t.Errorf("once they are known again: %d, want %d", got, first+1)
	}
}

func TestWhileRightsCannotBeCheckedWhatWasMissedIsNotToldEither(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 4, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = 20 * time.Millisecond })
	c := w.source(streamPath, member).started()
	w.say(1)
	c.version()
	c.close()
	const missed = 1500 // more than what is on the way can hold
	title := strings.Repeat("t", 12<<10)
	for range missed {
		w.said++
		w.env.Say(&knowledgev1.DocumentIndexed{ProjectId: 1, DocumentId: "7", Version: w.said, Title: title})
	}
	c.started()
	c.version()
	set := func(down bool) {
		w.auth.mu.Lock()
		defer w.auth.mu.Unlock()
		w.auth.down = down
	}
	set(true)
	w.guard.ForgetUser(member)
	w.edge.ForgetUser(member)
	told := 1
	for quiet := false; !quiet; {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "data: ") {
			told++
		}
		quiet = strings.HasPrefix(line, ": keep-alive")
	}
	if told >= missed {
		t.Fatalf("all %d were told", told)
	}
	set(false)
	for want := int32(told) + 2; told < missed; want++ {
		if got := c.version(); got != want {
			t.Fatalf("version %d, want %d", got, want)
		}
		told++
	}
}

func (a *fakeAuth) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func TestStreamsAreBoundedByCallerAndEndWithTheProcess(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100, func(c *serve.Config, _ *serve.Deps) { c.MaxStreams, c.MaxPerUser = 3, 2 })
	var open []*client
	for range 2 {
		open = append(open, w.source(streamPath, viewer).started())
	}
	if status := w.source(streamPath, viewer).open(); status != 429 {
		t.Errorf("the third of one caller: %d", status)
	}
	open = append(open, w.source(streamPath, member).started())
	if status := w.source(streamPath, owner).open(); status != 503 {
		t.Errorf("the fourth in all: %d", status)
	}
	w.edge.Drain()
	for _, c := range open {
		if e, ok := c.next(); ok {
			t.Errorf("after the drain: %+v", e)
		}
		if c.last == "" {
			t.Error("it was not told where to go on")
		}
	}
	if status := w.source(streamPath, owner).open(); status != 503 {
		t.Errorf("while it stops: %d", status)
	}
}

func TestAThousandCutsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	const cuts, readers = 1000, 4
	w := newFactWorld(t, 64) // sometimes too short, so that the stream has to be read
	wanted := make(chan int32, readers)
	var group sync.WaitGroup
	group.Go(func() {
		said := int32(0)
		for upTo := range wanted { // the first reader hears what is said, the others catch up
			for ; said < upTo; said++ {
				for p := int32(1); p <= 2; p++ {
					if err := publish(w.env.Bus("gateway"), &knowledgev1.DocumentIndexed{ProjectId: p, DocumentId: "7", Version: said + 1}); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
	var reading sync.WaitGroup
	open := make([]*client, readers)
	for i := range open {
		open[i] = w.source(streamPath, viewer).started() // before anything is said
		for open[i].last == "" {
			open[i].place()
		}
	}
	for i, c := range open {
		reading.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(i), 1))
			heard := int32(0)
			for range cuts / readers {
				n := chance.Int32N(12)
				wanted <- heard + n
				for until := heard + n; heard < until; {
					e, ok := c.next()
					if !ok { // it was cut off, being too slow for so short a ring
						c.started()
						continue
					}
					if heard++; e.name != "" || !strings.Contains(e.data, fmt.Sprintf(`"version":%d}`, heard)) {
						t.Errorf("reader %d: %+v, want version %d", i, e, heard)
						return
					}
				}
				for range chance.IntN(3) { // some more, into the middle of an event
					if !c.peek() {
						break
					}
				}
				c.started()
			}
		})
	}
	reading.Wait()
	close(wanted)
	group.Wait()
}

// place reads the line that says where the stream begins.
func (c *client) place() {
	c.t.Helper()
	line, err := c.lines.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	if id, ok := strings.CutPrefix(line, "id: "); ok {
		c.last = strings.TrimSpace(id)
	}
}

// peek takes a line that has come already.
func (c *client) peek() bool {
	if c.lines.Buffered() == 0 {
		return false
	}
	_, err := c.lines.ReadString('\n')
	return err == nil
}

func publish(b *bus.Bus, d *knowledgev1.DocumentIndexed) error {
	body, err := json.Marshal(map[string]any{"project_id": d.GetProjectId(), "document_id": d.GetDocumentId(), "version": d.GetVersion()})
	if err != nil {
		return err
	}
	id := fmt.Sprintf("%d-%d", d.GetProjectId(), d.GetVersion())
	h := map[string][]string{
		"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/test"}, "ce-type": {"x"}, "ce-subject": {"7"}, "content-type": {"application/json"},
	}
	_, _, err = b.Publish(context.Background(), "evt."+tenant.Project(d.GetProjectId()).Token()+".knowledge.document.indexed.v1", id, h, body)
	return err
}

// BenchmarkFanOut says one fact to a thousand open streams; the figure is the
// time until each has it.
func BenchmarkFanOut(b *testing.B) {
	const open = 1000
	w := newFactWorld(b, 1000)
	clients := make([]*client, open)
	for i := range clients {
		clients[i] = w.source(streamPath, viewer).started()
	}
	took := make([]time.Duration, 0, open*b.N)
	for b.Loop() {
		var mu sync.Mutex
		var group sync.WaitGroup
		began := make(chan struct{})
		var at time.Time
		for _, c := range clients {
			group.Go(func() {
				<-began
				c.version()
				d := time.Since(at)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			})
		}
		at = time.Now()
		close(began)
		w.say(1)
		group.Wait()
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, "ms/p"+strconv.Itoa(p))
	}
}
