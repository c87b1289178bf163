package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pressure is a stream of writes over several gateways. Each write has a key and is
// sent again under it, to whichever gateway is next, until it is acknowledged.
type pressure struct {
	ledger
	f     *fleet
	token string
	stop  chan struct{}
	work  sync.WaitGroup
	acks  map[int][]time.Time // gateway → when it acknowledged
	again int                 // how often a write was sent again
	moved *sync.Cond          // of every acknowledgement
}

// drive starts so many writers for each gateway.
func (f *fleet) drive(token string, writers int) *pressure {
	l := &pressure{ledger: ledger{promised: map[string]string{}, unknown: map[string]bool{}, refused: map[int]int{}}, f: f, token: token, stop: make(chan struct{}), acks: map[int][]time.Time{}}
	l.moved = sync.NewCond(&l.mu)
	for g := range f.urls {
		for w := range writers {
			l.work.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-l.stop:
						return
					case <-time.After(25 * time.Millisecond): // a pace, so that the machine is not the limit
						l.write(g, fmt.Sprintf("r%dc%dn%d", g, w, n), n%2 == 0)
					}
				}
			})
		}
	}
	return l
}

// write writes one document until that is acknowledged.
func (l *pressure) write(gateway int, id string, async bool) {
	name := id + ".md"
	body, err := json.Marshal(map[string]string{"title": "Note " + id, "content": "The word of this note is " + word(id) + ".", "category": "cluster", "source_file": name})
	if err != nil {
		l.f.t.Error(err)
		return
	}
	headers := []string{"Idempotency-Key", id}
	if async {
		headers = append(headers, "Prefer", "respond-async")
	}
	for try := 0; ; try++ {
		g := (gateway + try) % len(l.f.urls)
		who := l.f.caller(g, l.token)
		status, h, answer, err := who.do("POST", "/api/v1/knowledge/documents/text", "application/json", body, headers...)
		l.mu.Lock()
		switch {
		case err != nil:
			l.unknown[name] = true
		case status == 201 || status == 202:
			if l.promised[name] = "201"; status == 202 {
				l.promised[name] = path.Base(h.Get("Location"))
			}
			l.acks[g] = append(l.acks[g], time.Now())
			l.moved.Broadcast()
			l.mu.Unlock()
			return
		case status == 409 || status == 429 || status >= 500:
			l.refused[status]++
		default:
			l.f.t.Errorf("%s: %d %s", name, status, answer)
			l.mu.Unlock()
			return
		}
		l.again++
		l.mu.Unlock()
		select {
		case <-l.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// resumed waits until every gateway has acknowledged a write that it was told
// after the moment, and returns how long the one that was quiet longest was.
func (l *pressure) resumed(since time.Time) time.Duration {
	l.f.t.Helper()
	late := time.AfterFunc(patience, l.moved.Broadcast)
	defer late.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		n := 0
		for g := range l.f.urls {
			if a := l.acks[g]; len(a) > 0 && a[len(a)-1].After(since) {
				n++
			}
		}
		if n == len(l.f.urls) {
			return l.quiet(since, time.Now())
		}
		if time.Since(since) > patience {
			l.f.t.Fatalf("no writes at every gateway in %s: %v %v\n%s", patience, l.refused, l.again, l.f.log)
		}
		l.moved.Wait()
	}
}

// quiet is the longest time between two moments in which one of the gateways
// acknowledged nothing. l.mu is held.
func (l *pressure) quiet(from, to time.Time) (longest time.Duration) {
	for g := range l.f.urls {
		last := from
		for _, at := range append(slices.Clone(l.acks[g]), to) {
			if at.Before(from) || at.After(to) {
				continue
			}
			longest, last = max(longest, at.Sub(last)), at
		}
	}
	return longest
}

// end ends the load.
func (l *pressure) end() {
	close(l.stop)
	l.work.Wait()
}

func (f *fleet) caller(gateway int, token string) *caller {
	p := product{t: f.t, url: f.urls[gateway]}
	return p.caller(token)
}

func (f *fleet) owner() *caller {
	p := product{t: f.t, dir: f.dir, url: f.urls[0]}
	return p.owner()
}

// as connects to NATS past the links.
func (f *fleet) as(user string) *nats.Conn {
	f.t.Helper()
	nc, err := nats.Connect(f.nats, nats.UserCredentials(filepath.Join(f.dir, "keys", user+".creds")), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	return nc
}

// eventually waits until fn says nothing more.
func eventually(t testing.TB, what string, fn func(ctx context.Context) error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := fn(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// leader is the NATS server that leads the stream of commands.
func (f *fleet) leader(js jetstream.JetStream) (name string) {
	f.t.Helper()
	eventually(f.t, "the leader of COMMANDS", func(ctx context.Context) error {
		s, err := js.Stream(ctx, "COMMANDS")
		if err != nil {
			return err
		}
		if name = s.CachedInfo().Cluster.Leader; name == "" {
			return fmt.Errorf("none")
		}
		return nil
	})
	return name
}

// agree waits until the three servers hold the same of every stream.
func (f *fleet) agree(sys *nats.Conn) {
	f.t.Helper()
	eventually(f.t, "the copies of the streams agree", func(ctx context.Context) error {
		sub, err := sys.SubscribeSync(sys.NewInbox())
		if err != nil {
			return err
		}
		defer sub.Unsubscribe() // it ends with the connection
		if err := sys.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", sub.Subject, []byte(`{"accounts":true,"streams":true}`)); err != nil {
			return err
		}
		held := map[string]map[string]string{}
		for range members {
			m, err := sub.NextMsgWithContext(ctx)
			if err != nil {
				return err
			}
			var r struct {
				Server struct{ Name string }
				Data   server.JSInfo
			}
			if err := json.Unmarshal(m.Data, &r); err != nil {
				return err
			}
			for _, a := range r.Data.AccountDetails {
				for _, s := range a.Streams {
					key := a.Name + " " + s.Name
					if held[key] == nil {
						held[key] = map[string]string{}
					}
					held[key][r.Server.Name] = fmt.Sprintf("%d messages, %d to %d", s.State.Msgs, s.State.FirstSeq, s.State.LastSeq)
				}
			}
		}
		if len(held) < 9 {
			return fmt.Errorf("only %d streams", len(held))
		}
		for stream, of := range held {
			values := slices.Collect(maps.Values(of))
			if len(of) != len(members) || len(slices.Compact(slices.Sorted(slices.Values(values)))) != 1 {
				return fmt.Errorf("%s: %v", stream, of)
			}
		}
		return nil
	})
}

// verify holds the fleet to what it acknowledged.
func (l *pressure) verify(js jetstream.JetStream, sys *nats.Conn) {
	f := l.f
	f.t.Helper()
	l.ledger.verify(f.caller(0, l.token))
	for name := range library(f.caller(1, l.token)) {
		if l.promised[name] == "" && !l.unknown[name] && l.refused[503]+l.refused[504] == 0 {
			f.t.Errorf("%s is there and was never asked for", name)
		}
	}
	eventually(f.t, "every fact of the database is in EVENTS", func(ctx context.Context) error {
		code, out, errs := runIn(ctx, strings.NewReader(""), "bus", "reconcile", "--dry-run", "--json", "--data-dir", f.dir, "--nats-url", f.nats)
		var found []struct {
			Service       string
			Said, Missing int
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found) == 0 {
			return fmt.Errorf("%d %s%s", code, out, errs)
		}
		for _, r := range found {
			if r.Missing > 0 || r.Service == "knowledge" && r.Said < 2*len(l.promised) {
				return fmt.Errorf("%+v of %d documents", r, len(l.promised))
			}
		}
		return nil
	})
	f.agree(sys)
	s, err := js.Stream(f.t.Context(), "DEAD")
	if err != nil {
		f.t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n > 0 {
		f.t.Errorf("%d dead letters", n)
	}
	if f.t.Failed() {
		f.t.Logf("log:\n%s", f.log)
	}
}

// TestNothingAcknowledgedIsLostWithOneOfAnything kills and cuts what there is
// more of than one, under load. It starts eight processes and takes a minute of
// a machine with nothing else to do, so it runs with `make cluster` alone.
func TestNothingAcknowledgedIsLostWithOneOfAnything(t *testing.T) {
	t.Parallel()
	if os.Getenv("CC_TEST_CLUSTER") == "" {
		t.Skip("takes a minute of both cores: `make cluster`")
	}
	f := assemble(t)
	sys, admin := f.as("sys"), f.as("admin")
	js, err := jetstream.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	l := f.drive(f.owner().token, 2)
	l.resumed(time.Now())

	lost := f.leader(js)
	at := time.Now()
	f.kill(lost)
	killed := l.resumed(at)
	f.start(lost)()
	f.agreeToLead(js)

	away := f.leader(js)
	at = time.Now()
	f.cut(away)
	cut := l.resumed(at)
	f.mend(away)
	f.agreeToLead(js)

	alone := f.leader(js)
	w := f.watchAlone(js, alone)
	at = time.Now()
	f.part(alone)
	parted := l.resumed(at)
	w.left()
	f.join(alone)
	f.agreeToLead(js)
	w.verify()

	for _, name := range []string{"services-1", "gateway-1"} {
		f.kill(name)
		f.start(name)()
		l.resumed(time.Now())
	}
	l.end()
	l.verify(js, sys)
	t.Logf("%s; quiet for %s after a kill of the leader, %s after a cut, %s after a cut from its peers alone", l.counts(), killed, cut, parted)
}

// counts says how the writes ended.
func (l *pressure) counts() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d writes acknowledged, %d of them done (201) and %d to be done (202), sent again %d times, refused %v", len(l.promised), l.done(), len(l.promised)-l.done(), l.again, l.refused)
}

// done is how many writes were answered 201. l.mu is held.
func (l *pressure) done() (n int) {
	for _, answer := range l.promised {
		if answer == "201" {
			n++
		}
	}
	return n
}

// agreeToLead waits until a member is one of the three again.
func (f *fleet) agreeToLead(js jetstream.JetStream) {
	f.t.Helper()
	eventually(f.t, "all three follow", func(ctx context.Context) error {
		for _, name := range []string{"COMMANDS", "EVENTS", "JOBS", "KV_OPERATIONS"} {
			s, err := js.Stream(ctx, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			c := s.CachedInfo().Cluster
			for _, r := range c.Replicas {
				if !r.Current || r.Offline || c.Leader == "" {
					return fmt.Errorf("%s: leader %q, %+v", name, c.Leader, r)
				}
			}
		}
		return nil
	})
}

// losses are the ways in which a NATS server is lost, and comes back.
var losses = []struct {
	name       string
	lose, back func(f *fleet, name string)
}{
	{"cut off", (*fleet).cut, (*fleet).mend},
	{"killed", (*fleet).kill, func(f *fleet, name string) { f.start(name)() }},
	{"cut from its peers", (*fleet).part, (*fleet).join},
}

// BenchmarkClusterLoss loses the leader of the commands ten times for as long as
// CC_TEST_CLUSTER says, in turn by kill -9, by a cut and by a cut from its peers
// alone, and reports how long writes stood still at the gateway that waited
// longest. Bound: 5 s, the median.
func BenchmarkClusterLoss(b *testing.B) {
	away, err := time.ParseDuration(os.Getenv("CC_TEST_CLUSTER"))
	if err != nil {
		b.Skip("takes a quarter of an hour: `make cluster`")
	}
	f := assemble(b)
	sys, admin := f.as("sys"), f.as("admin")
	js, err := jetstream.New(admin)
	if err != nil {
		b.Fatal(err)
	}
	l := f.drive(f.owner().token, 2)
	l.resumed(time.Now())
	var all []time.Duration
	for b.Loop() {
		for round := range 10 {
			name, how := f.leader(js), losses[round%len(losses)]
			at := time.Now()
			how.lose(f, name)
			l.resumed(at)
			<-time.After(time.Until(at.Add(away))) // how long it is away is the test
			how.back(f, name)
			f.agreeToLead(js)
			l.mu.Lock()
			quiet := l.quiet(at, time.Now())
			l.mu.Unlock()
			all = append(all, quiet)
			b.Logf("round %d: %s %s for %s, writes stood still for %s", round+1, name, how.name, away, quiet.Round(10*time.Millisecond))
		}
	}
	l.end()
	l.verify(js, sys)
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds(), "s-median")
	b.ReportMetric(all[len(all)-1].Seconds(), "s-longest")
	b.ReportMetric(float64(l.done()), "done")
	b.ReportMetric(float64(len(l.promised)-l.done()), "to-be-done")
	b.Log(l.counts())
}
