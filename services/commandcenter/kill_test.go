package main_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ledger is what the clients were promised.
type ledger struct {
	mu       sync.Mutex
	promised map[string]string // file name → "201", or the operation of a 202
	unknown  map[string]bool   // no answer came: may be there or not
	refused  map[int]int       // status → how often
}

// writers uploads documents with names and words of their own until stop is
// closed, some as files, some as text.
func (l *ledger) writers(p *product, token string, round, clients int, stop <-chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			who := p.caller(token)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if l.write(who, fmt.Sprintf("r%dc%dn%d", round, c, n), n%3 == 2) {
					continue
				}
				select { // nobody is there: do not run hot
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	return &wg
}

// word is one that only this document has; of letters, so that no tokenizer
// cuts it, and with an end that no stemmer touches.
func word(id string) string {
	return "zq" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'a' + r - '0'
		}
		return map[rune]rune{'r': 'x', 'c': 'k', 'n': 'w'}[r]
	}, id) + "q"
}

// write uploads one document; it reports whether anybody answered.
func (l *ledger) write(who *caller, id string, asText bool) (answered bool) {
	name := id + ".md"
	content := fmt.Sprintf("# Note %s\n\nThe word of this note is %s.\n", id, word(id))
	var status int
	var location string
	var err error
	if asText {
		body, merr := json.Marshal(map[string]string{"title": "Note " + id, "content": content, "category": "kill", "source_file": name})
		if merr != nil {
			who.t.Error(merr)
			return false
		}
		s, h, _, e := who.do("POST", "/api/v1/knowledge/documents/text", "application/json", body)
		status, err = s, e
		location = h.Get("Location")
	} else {
		contentType, body := form(who.t, name, content, "category", "kill")
		s, h, _, e := who.do("POST", "/api/v1/knowledge/documents", contentType, body)
		status, err = s, e
		location = h.Get("Location")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.unknown[name] = true
	case status == 201:
		l.promised[name] = "201"
	case status == 202:
		l.promised[name] = path.Base(location)
	default:
		l.refused[status]++
	}
	return err == nil
}

type docPage struct {
	Items []struct {
		ID       int64  `json:"id"`
		Filename string `json:"filename"`
		State    string `json:"state"`
	} `json:"items"`
	Total int `json:"total"`
}

// library lists everything in the project by file name.
func library(c *caller) map[string][]string {
	c.t.Helper()
	out := map[string][]string{}
	for skip := 0; ; skip += 100 {
		var page docPage
		c.json("GET", fmt.Sprintf("/api/v1/knowledge/documents?limit=100&skip=%d", skip), nil, 200, &page)
		for _, d := range page.Items {
			out[d.Filename] = append(out[d.Filename], d.State)
		}
		if skip+100 >= page.Total {
			return out
		}
	}
}

// settle waits until what was promised is there, and returns it.
func (l *ledger) settle(c *caller) map[string][]string {
	c.t.Helper()
	least, since := math.MaxInt, time.Now()
	for {
		began := time.Now()
		there := library(c)
		open := 0
		for name := range l.promised {
			if len(there[name]) == 0 {
				open++
			}
		}
		for _, states := range there {
			if states[0] == "indexing" {
				open++
			}
		}
		if open < least {
			least, since = open, time.Now()
		}
		if open == 0 || time.Since(since) > patience {
			return there
		}
		<-time.After(200*time.Millisecond + 4*time.Since(began)) // looking costs the product work, too
	}
}

// verify compares promises with what is there and what is found.
func (l *ledger) verify(c *caller) (acked int) {
	c.t.Helper()
	there := l.settle(c)
	var lost, twice, stuck []string
	for name := range l.promised {
		switch states := there[name]; {
		case len(states) == 0:
			lost = append(lost, name+" ("+l.promised[name]+")")
		case len(states) > 1:
			twice = append(twice, name)
		case states[0] != "indexed":
			stuck = append(stuck, name+" "+states[0])
		}
	}
	for name, states := range there {
		if len(states) > 1 && l.unknown[name] {
			twice = append(twice, name)
		}
	}
	if len(lost)+len(twice)+len(stuck) > 0 {
		c.t.Errorf("of %d promised documents %d are lost %v, %d are there twice %v, %d are not indexed %v", len(l.promised), len(lost), some(lost), len(twice), some(twice), len(stuck), some(stuck))
	}
	// Each is found by its word, once. All of them would take long: a sample.
	n := 0
	for name := range l.promised {
		if n++; n > 25 {
			break
		}
		var found []result
		w := word(strings.TrimSuffix(name, ".md"))
		c.json("POST", "/api/v1/knowledge/query?mode=keyword", map[string]any{"query": w, "limit": 10}, 200, &found)
		if len(found) != 1 || found[0].SourceFile == nil || *found[0].SourceFile != name {
			c.t.Errorf("search %s: %d found, want %s once", w, len(found), name)
		}
	}
	return len(l.promised)
}

func some(s []string) []string { return s[:min(len(s), 5)] }

// killRounds kills the process without a word while clients upload, starts it
// again, and holds it to its promises.
func killRounds(t testing.TB, rounds int) (acked int, slowest time.Duration) {
	t.Helper()
	dir := dataDir(t)
	l := &ledger{promised: map[string]string{}, unknown: map[string]bool{}, refused: map[int]int{}}
	chance := rand.New(rand.NewPCG(uint64(rounds), 7)) //nolint:gosec // a test
	p := apart(t, dir, "--no-sample")
	token := p.owner().token
	for round := range rounds {
		stop := make(chan struct{})
		wg := l.writers(p, token, round, 4, stop)
		time.Sleep(300*time.Millisecond + time.Duration(chance.IntN(1200))*time.Millisecond) // the moment is the test
		p.kill()
		close(stop)
		wg.Wait()
		p = apart(t, dir, "--no-sample")
		slowest = max(slowest, p.ready)
	}
	acked = l.verify(p.caller(token))
	if t.Failed() {
		t.Logf("log:\n%s", p.log)
	}
	if acked < rounds {
		t.Errorf("only %d uploads were answered in %d rounds: nothing was tested (refused: %v)", acked, rounds, l.refused)
	}
	for status, n := range l.refused {
		if status != 503 && status != 429 && status != 504 {
			t.Errorf("%d uploads were answered %d", n, status)
		}
	}
	p.stop()
	t.Logf("%d rounds, %d promised, %d unknown, refused %v, slowest start %s", rounds, acked, len(l.unknown), l.refused, slowest)
	return acked, slowest
}

func TestEveryPromiseSurvivesAKill(t *testing.T) {
	t.Parallel()
	killRounds(t, 3)
}

// TestSplitProcessesSurviveTheLossOfEachOther kills each process of `up
// --split` in turn while clients upload.
func TestSplitProcessesSurviveTheLossOfEachOther(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := apart(t, dir, "--no-sample", "--split")
	if len(p.pids) != 9 {
		t.Fatalf("processes %v, want nine", p.pids)
	}
	token := p.owner().token
	l := &ledger{promised: map[string]string{}, unknown: map[string]bool{}, refused: map[int]int{}}
	for round, role := range []string{"knowledge", "auth", "ingestion", "research", "jobs", "federation", "gateway", "nats", "postgres"} {
		stop := make(chan struct{})
		wg := l.writers(p, token, round, 2, stop)
		waitWrites(t, l, 3)
		was := p.pids[role]
		if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", role, err)
		}
		p.await("process", func(e map[string]any) bool { return e["role"] == role && e["again"] == true })
		if p.pids[role] == was {
			t.Errorf("%s has the same process", role)
		}
		awaitHealthy(t, p)
		close(stop)
		wg.Wait()
	}
	acked := l.verify(p.caller(token))
	t.Logf("%d promised, %d unknown, refused %v", acked, len(l.unknown), l.refused)
	if t.Failed() {
		t.Logf("log:\n%s", p.log)
	}
	p.stop()

	// The same data directory in one process.
	p = apart(t, dir, "--no-sample")
	if there := library(p.caller(token)); len(there) < acked {
		t.Errorf("%d documents of %d after the change to one process", len(there), acked)
	}
}

// waitWrites waits until so many more uploads were answered.
func waitWrites(t *testing.T, l *ledger, more int) {
	t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.promised) }
	want := count() + more
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for count() < want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d uploads answered, want %d", count(), want)
		}
	}
}

func awaitHealthy(t testing.TB, p *product) {
	t.Helper()
	c := p.caller("")
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last atomic.Value
	for {
		status, _, body, err := c.do("GET", "/health/detailed", "", nil)
		if err == nil && status == 200 {
			return
		}
		last.Store(fmt.Sprint(status, string(body), err))
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not healthy again: %v\n%s", last.Load(), p.log)
		}
	}
}
