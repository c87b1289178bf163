package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The figures of the whole product, each with the bound that it must keep. The
// bounds are of an idle machine with two processors.

// BenchmarkReady is the time from the start of the process to ready, in a data
// directory that exists. Bound: 3 s.
func BenchmarkReady(b *testing.B) {
	dir := dataDir(b)
	apart(b, dir, "--no-sample").stop()
	var all []time.Duration
	for b.Loop() {
		p := apart(b, dir, "--no-sample")
		all = append(all, p.ready)
		p.stop()
	}
	report(b, all, "ready")
}

// BenchmarkIdleMemory is the resident memory of the process ten seconds after
// the start, PostgreSQL apart; with the model when CC_TEST_MODEL=1. Bound: 300
// MiB with it.
func BenchmarkIdleMemory(b *testing.B) {
	for b.Loop() {
		p := apart(b, dataDir(b), "--no-sample")
		c := p.owner()
		contentType, body := form(b, "a.md", essay, "category", "x")
		for range 5 {
			if status, _, answer, err := c.do("POST", "/api/v1/knowledge/documents", contentType, body); err != nil || status != 201 {
				b.Fatalf("%d %s %v", status, answer, err)
			}
			c.json("POST", "/api/v1/knowledge/query", map[string]any{"query": "fog horn"}, 200, nil)
		}
		<-time.After(10 * time.Second) // idle
		b.ReportMetric(float64(resident(b, p.pid))/(1<<20), "MiB")
		p.stop()
	}
}

// resident reads the resident set of a process, in bytes.
func resident(b *testing.B, pid int) int64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skipf("no /proc here: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// BenchmarkCommand is one command end to end over HTTP, by one client: durable
// in the stream, the change and its event committed, answered. Bound: a median
// of 4 ms.
func BenchmarkCommand(b *testing.B) {
	l := newLoad(b, 1)
	for _, name := range l.kinds() {
		b.Run(name, func(b *testing.B) {
			var all []time.Duration
			for b.Loop() {
				began := time.Now()
				l.send(b, name, 0)
				all = append(all, time.Since(began))
			}
			report(b, all, "latency")
		})
	}
}

// BenchmarkSustained is how many commands a second 16 clients get through in
// ten seconds, each in a project of its own. Bound: 500/s.
func BenchmarkSustained(b *testing.B) {
	l := newLoad(b, 16)
	for _, name := range l.kinds() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var mu sync.Mutex
				var all []time.Duration
				began := time.Now()
				var wg sync.WaitGroup
				for client := range l.projects {
					wg.Go(func() {
						var own []time.Duration
						for time.Since(began) < 10*time.Second {
							at := time.Now()
							l.send(b, name, client)
							own = append(own, time.Since(at))
						}
						mu.Lock()
						defer mu.Unlock()
						all = append(all, own...)
					})
				}
				wg.Wait()
				b.ReportMetric(float64(len(all))/time.Since(began).Seconds(), "commands/s")
				report(b, all, "latency")
			}
		})
	}
}

// load is a product with a project for each client.
type load struct {
	c        *caller
	projects []int64
	n        atomic.Int64
}

func newLoad(b *testing.B, clients int) *load {
	b.Helper()
	l := &load{c: apart(b, dataDir(b), "--no-sample").owner()}
	for i := range clients {
		var p struct {
			ID int64 `json:"id"`
		}
		l.c.json("POST", "/api/v1/projects/", map[string]any{"name": fmt.Sprintf("base %d", i)}, 201, &p)
		l.projects = append(l.projects, p.ID)
	}
	return l
}

func (*load) kinds() []string { return []string{"updateProject", "createProject", "addTextDocument"} }

func (l *load) send(b *testing.B, kind string, client int) {
	b.Helper()
	method, path := "POST", "/api/v1/projects/"
	n, project := l.n.Add(1), l.projects[client]
	body := map[string]any{"name": fmt.Sprintf("bench %d", n)}
	switch kind {
	case "updateProject":
		method, path = "PATCH", fmt.Sprintf("/api/v1/projects/%d", project)
		body = map[string]any{"description": fmt.Sprintf("number %d", n)}
	case "addTextDocument":
		path = "/api/v1/knowledge/documents/text"
		body = map[string]any{"title": "Bench", "source_file": fmt.Sprintf("bench-%d.md", n), "content": fmt.Sprintf("# Bench\n\nNumber %d.\n", n), "category": "bench"}
	}
	data, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	status, _, answer, err := l.c.do(method, path, "application/json", data, "X-Project-ID", strconv.FormatInt(project, 10))
	if err != nil || status > 202 {
		b.Errorf("%s: %d %s %v", kind, status, answer, err)
	}
}

// BenchmarkTwentyKills kills the process twenty times during uploads and
// counts what was promised; a promise that is not kept fails it. Bound: none
// lost, none twice.
func BenchmarkTwentyKills(b *testing.B) {
	for b.Loop() {
		acked, slowest := killRounds(b, 20)
		b.ReportMetric(float64(acked), "promised")
		b.ReportMetric(float64(slowest.Milliseconds()), "slowest-start-ms")
	}
}

// report adds median and tail of durations, in milliseconds.
func report(b *testing.B, all []time.Duration, what string) {
	b.Helper()
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	ms := func(q float64) float64 {
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), what+"-p50-ms")
	b.ReportMetric(ms(0.99), what+"-p99-ms")
}
