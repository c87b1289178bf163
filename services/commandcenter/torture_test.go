package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	events "github.com/commandcenter/commandcenter/proto-events"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/torture"
)

// What `make torture` sets.
var (
	tortureRounds = flag.Int("torture.rounds", 0, "rounds of kill -9 in TestNoPromiseIsBrokenWhateverIsKilled; without, it is skipped")
	tortureSeed   = flag.Uint64("torture.seed", 1, "of what the clients do and when the kills come")
	tortureJSON   = flag.String("torture.json", "", "write the report to this file as JSON")
)

// victims are killed in turn.
var victims = []string{"knowledge", "nats", "auth", "postgres", "gateway", "ingestion", "research", "jobs", "federation"}

// TestNoPromiseIsBrokenWhateverIsKilled kills each process of `up --split` in
// turn while clients write, a team says facts, and others listen; then everything
// that was acknowledged is held against the database, the streams and what was
// heard.
func TestNoPromiseIsBrokenWhateverIsKilled(t *testing.T) {
	t.Parallel()
	if *tortureRounds == 0 {
		t.Skip("kills for as long as it is told: `make torture`")
	}
	began := time.Now()
	dir := dataDir(t)
	p := apart(t, dir, "--no-sample", "--split")
	if len(p.pids) != len(victims) {
		t.Fatalf("processes %v, want %v", p.pids, victims)
	}
	x := &crowd{t: t, p: p, stop: make(chan struct{}), answers: map[string]int{}}
	x.token.Store(p.owner().token)
	creds := x.invite(dir)
	speaks, hears := x.connect(creds), x.connect(creds)
	ctx, quiet := context.WithCancel(t.Context())
	durable, sse := &ears{had: map[string]struct{}{}}, &ears{had: map[string]struct{}{}}
	listening, over := make(chan struct{}), make(chan struct{}, 2)
	go func() { durable.take(ctx, hears); over <- struct{}{} }()
	go func() { sse.follow(ctx, x, listening); over <- struct{}{} }()
	select {
	case <-listening:
	case <-time.After(patience):
		t.Fatalf("no stream of events\n%s", p.log)
	}
	db := openAdmin(t, dir)
	base := outboxes(t, db)
	chance := rand.New(rand.NewPCG(*tortureSeed, 1)) //nolint:gosec // a test
	for c := range 4 {
		own := rand.New(rand.NewPCG(*tortureSeed, uint64(c)+2)) //nolint:gosec // a test
		x.wg.Go(func() { x.client(c, own) })
	}
	x.wg.Go(func() { x.team(speaks) })

	report := &torture.Report{Seed: *tortureSeed, Rounds: *tortureRounds, Kills: map[string]int{}, Answers: x.answers}
	for round := range *tortureRounds {
		role := victims[round%len(victims)]
		x.awaitDone(8)
		<-time.After(time.Duration(chance.IntN(300)) * time.Millisecond) // the moment is the test
		at := time.Now()
		x.kill(role)
		report.Slowest = max(report.Slowest, time.Since(at))
		report.Kills[role]++
	}
	close(x.stop)
	x.wg.Wait()

	e := x.evidence(db, dir, base, durable, sse)
	quiet()
	<-over
	<-over
	report.Verdict, report.Silent, report.Took = torture.Judge(e), x.silent, time.Since(began)
	p.catchUp()
	report.Ended = p.ended
	if len(report.Violations) > 0 {
		report.Logs = x.keep(dir, report, e)
		t.Errorf("%d promises were broken", len(report.Violations))
	}
	x.tell(report)
	p.stop()

	// The same data directory in one process.
	p = apart(t, dir, "--no-sample")
	var page struct{ Total int }
	want := 0
	for _, r := range e.Rows {
		if r.Kind == torture.Document {
			want++
		}
	}
	if p.owner().json("GET", "/api/v1/knowledge/documents", nil, 200, &page); page.Total != want {
		t.Errorf("%d documents of %d after the change to one process", page.Total, want)
	}
}

func ownerPassword(p *product) string {
	password, err := os.ReadFile(filepath.Join(p.dir, "owner-password"))
	if err != nil {
		p.t.Error(err)
	}
	return strings.TrimSpace(string(password))
}

// invite grants a team what it needs, and registers its schema.
func (x *crowd) invite(dir string) (creds string) {
	x.t.Helper()
	creds = filepath.Join(x.t.TempDir(), "docs.creds")
	schema := filepath.Join(x.t.TempDir(), "schema.json")
	if err := os.WriteFile(schema, []byte(`{"type":"object","required":["title","content"],"properties":{"title":{"type":"string"}}}`), 0o600); err != nil {
		x.t.Fatal(err)
	}
	x.p.must(nil, "bus", "grant", "docs", "--project", "1", "--publish", "document.published.v1", "--subscribe", "ingestion.fact.*", "--subscribe", "knowledge.document.*", "--out", creds)
	x.p.loginOwner(dir)
	x.p.must(nil, "bus", "schema", "register", "docs.document.published.v1", schema)
	return creds
}

func (x *crowd) connect(creds string) *nats.Conn {
	x.t.Helper()
	nc, err := nats.Connect(x.p.nats, nats.UserCredentials(creds), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(nc.Close)
	return nc
}

// awaitDone waits until so many more writes are done.
func (x *crowd) awaitDone(more int64) {
	x.t.Helper()
	want := x.done.Load() + more
	x.until(func() string {
		if n := x.done.Load(); n < want {
			return fmt.Sprintf("%d writes are done, want %d", n, want)
		}
		return ""
	})
}

// until asks again until ready has no objection.
func (x *crowd) until(ready func() (objection string)) {
	x.t.Helper()
	deadline := time.After(2 * patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for objection := ready(); objection != ""; objection = ready() {
		select {
		case <-tick.C:
		case <-deadline:
			x.t.Fatalf("%s\n%s", objection, x.p.log)
		}
	}
}

// kill kills a process and all that it has started, and waits until the product
// is whole again.
func (x *crowd) kill(role string) {
	x.t.Helper()
	x.p.catchUp() // it may have been started again by itself
	was := x.p.pids[role]
	if was <= 1 { // 0 would be this process and all of its kind
		x.t.Fatalf("%s is process %d", role, was)
	}
	x.p.killed[was] = true
	for _, pid := range append(descendants(was), was) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			x.t.Fatalf("kill %s: %v", role, err)
		}
	}
	x.p.await("process", func(e map[string]any) bool { return e["role"] == role && x.p.pids[role] != was })
	awaitHealthy(x.t, x.p)
}

// descendants are the processes below pid: of PostgreSQL, the server.
func descendants(pid int) (out []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	below := map[int][]int{}
	for _, file := range stats {
		data, err := os.ReadFile(file) //nolint:gosec // G304: /proc
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		child, cerr := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if len(fields) < 2 || cerr != nil {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			below[parent] = append(below[parent], child)
		}
	}
	for queue := below[pid]; len(queue) > 0; queue = queue[1:] {
		out = append(out, queue[0])
		queue = append(queue, below[queue[0]]...)
	}
	return out
}

func openAdmin(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", datadir.At(dir).Endpoint(datadir.EndpointPostgres))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a test
	return db
}

// outboxServices have an outbox.
var outboxServices = []string{"auth", "knowledge", "ingestion", "research", "jobs", "federation"}

// outboxes is the last row of each outbox.
func outboxes(t testing.TB, db *sql.DB) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, s := range outboxServices {
		var last int64
		if err := db.QueryRowContext(t.Context(), `SELECT coalesce(max(id), 0) FROM `+s+`.outbox`).Scan(&last); err != nil {
			t.Fatal(err)
		}
		out[s] = last
	}
	return out
}

// tell prints the report.
func (x *crowd) tell(r *torture.Report) {
	x.t.Helper()
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		x.t.Fatal(err)
	}
	x.t.Logf("\n%s", text.String())
	if *tortureJSON == "" {
		return
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		x.t.Fatal(err)
	}
	if err := os.WriteFile(*tortureJSON, append(data, '\n'), 0o644); err != nil { //nolint:gosec // G306: a report
		x.t.Fatal(err)
	}
}

// keep leaves what is needed to find a fault.
func (x *crowd) keep(dir string, r *torture.Report, e torture.Evidence) string {
	x.t.Helper()
	where, err := os.MkdirTemp("", fmt.Sprintf("commandcenter-torture-%d-", r.Seed))
	if err != nil {
		x.t.Error(err)
		return ""
	}
	type reader struct {
		Name  string
		Heard []string
	}
	var readers []reader
	for i := range e.Readers {
		readers = append(readers, reader{e.Readers[i].Name, e.Readers[i].Heard})
		e.Readers[i].Wants = nil
	}
	evidence, merr := json.MarshalIndent(map[string]any{"things": e.Things, "rows": e.Rows, "said": e.Said, "stream": e.Stream, "readers": readers, "dead": e.Dead, "violations": r.Violations}, "", " ")
	err = errors.Join(merr, os.WriteFile(filepath.Join(where, "evidence.json"), evidence, 0o600), os.WriteFile(filepath.Join(where, "log"), []byte(x.p.log.String()), 0o600))
	if logs := filepath.Join(dir, "logs"); err == nil {
		if _, serr := os.Stat(logs); serr == nil {
			err = os.CopyFS(filepath.Join(where, "logs"), os.DirFS(logs))
		}
	}
	if err != nil {
		x.t.Error(err)
	}
	return where
}

// evidence gathers what there is, once nothing changes any more: what was said
// has been published and heard, and no document is being indexed.
func (x *crowd) evidence(db *sql.DB, dir string, base map[string]int64, durable, sse *ears) torture.Evidence {
	x.t.Helper()
	wantsDurable := func(s *torture.Said) bool {
		return strings.HasPrefix(s.Subject, "evt.p1.ingestion.fact.") || strings.HasPrefix(s.Subject, "evt.p1.knowledge.document.")
	}
	wantsSSE := func(s *torture.Said) bool {
		return strings.HasPrefix(s.Subject, "evt.p1.") && s.Order > base[s.Service]
	}
	e := torture.Evidence{Strange: x.strange, Orphans: x.orphans}
	for _, t := range x.things {
		e.Things = append(e.Things, *t)
	}
	// What does not come in this time is missing.
	deadline := time.Now().Add(patience)
	x.until(func() string {
		e.Rows, e.Said = rows(x.t, db), said(x.t, db)
		objection := unsettled(e)
		for who, ids := range map[*ears][]string{durable: wanted(e.Said, wantsDurable), sse: wanted(e.Said, wantsSSE)} {
			if n := who.lacks(ids); n > 0 && objection == "" {
				objection = fmt.Sprintf("%d of %d events are not heard", n, len(ids))
			}
		}
		if time.Now().After(deadline) {
			x.t.Logf("not settled: %s", objection)
			return ""
		}
		return objection
	})
	e.Readers = []torture.Reader{durable.reader("a durable consumer", wantsDurable), sse.reader("a reader over HTTP", wantsSSE)}
	x.streams(&e, dir)
	e.Referenced = texts(x.t, db, `SELECT name FROM knowledge.blobs WHERE name <> ''`)
	e.Trash = texts(x.t, db, `SELECT name FROM knowledge.trash`)
	return e
}

func wanted(said []torture.Said, wants func(*torture.Said) bool) (ids []string) {
	for i := range said {
		if wants(&said[i]) {
			ids = append(ids, said[i].ID)
		}
	}
	return ids
}

// unsettled says what is still going on.
func unsettled(e torture.Evidence) string {
	for _, s := range e.Said {
		if s.Waits {
			return "an event waits: " + s.Subject
		}
	}
	facts := map[string]bool{}
	docs := map[string]bool{}
	for _, r := range e.Rows {
		switch {
		case r.State == "indexing":
			return "a document is being indexed: " + r.Name
		case r.Kind == torture.Fact:
			facts[r.Name] = true
		case r.Kind == torture.Document:
			docs[r.Name] = true
		}
	}
	for _, t := range e.Things {
		if t.Kind == torture.Fact && t.Done > 0 && (!facts[t.Name] || !docs[t.Name]) {
			return "a fact is not taken over: " + t.Name
		}
	}
	return ""
}

func rows(t testing.TB, db *sql.DB) (out []torture.Row) {
	t.Helper()
	const q = `
		SELECT 'document', source, version, state FROM knowledge.documents
		UNION ALL SELECT 'project', name, version, '' FROM auth.projects WHERE name LIKE 'torture %'
		UNION ALL SELECT 'fact', convert_from(data, 'UTF8')::jsonb #>> '{data,url}', count(*), ''
		FROM ingestion.outbox WHERE subject = 'evt.p1.ingestion.fact.accepted.v1' GROUP BY 2`
	found, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r torture.Row
		if err := found.Scan(&r.Kind, &r.Name, &r.Writes, &r.State); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func said(t testing.TB, db *sql.DB) (out []torture.Said) {
	t.Helper()
	for _, service := range outboxServices {
		out = append(out, saidBy(t, db, service)...)
	}
	return out
}

func saidBy(t testing.TB, db *sql.DB, service string) (out []torture.Said) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), `SELECT id, message_id, subject, headers, published_at IS NULL AND parked_at IS NULL, parked_at IS NOT NULL FROM `+service+`.outbox ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		s := torture.Said{Service: service}
		var headers []byte
		if err := found.Scan(&s.Order, &s.ID, &s.Subject, &headers, &s.Waits, &s.Parked); err != nil {
			t.Fatal(err)
		}
		h := map[string][]string{}
		if err := json.Unmarshal(headers, &h); err != nil {
			t.Fatal(err)
		}
		s.Aggregate = headerOf(h, events.HeaderSubject)
		if v := headerOf(h, events.HeaderVersion); v != "" {
			if s.Version, err = strconv.ParseInt(v, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, s)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func texts(t testing.TB, db *sql.DB, query string) (out []string) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var s string
		if err := found.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// streams reads EVENTS, DEAD and the object store as the administrator.
func (x *crowd) streams(e *torture.Evidence, dir string) {
	x.t.Helper()
	nc := x.connect(filepath.Join(datadir.At(dir).Keys(), "admin.creds"))
	js, err := jetstream.New(nc)
	if err != nil {
		x.t.Fatal(err)
	}
	for _, m := range everything(x.t, js, "EVENTS") {
		if strings.Split(m.Subject(), ".")[2] == natsd.UserAdmin {
			continue // what the command line says of its own deeds is in no outbox
		}
		e.Stream = append(e.Stream, headerOf(m.Headers(), events.HeaderID))
	}
	refused := 0
	for _, t := range e.Things {
		if t.Kind == torture.Refused && t.Done > 0 {
			refused++
		}
	}
	deadline := time.Now().Add(patience)
	x.until(func() string {
		e.Dead = nil
		for _, m := range everything(x.t, js, "DEAD") {
			meta, err := m.Metadata()
			if err != nil {
				x.t.Fatal(err)
			}
			h := m.Headers()
			e.Dead = append(e.Dead, torture.Dead{Seq: meta.Sequence.Stream, Consumer: headerOf(h, "Cc-Dead-Consumer"), Reason: headerOf(h, "Cc-Dead-Error"), Subject: headerOf(h, "Cc-Dead-Subject"), Data: string(m.Data())})
		}
		if len(e.Dead) < refused && time.Now().Before(deadline) {
			return fmt.Sprintf("%d dead letters, want %d", len(e.Dead), refused)
		}
		return ""
	})
	store, err := js.ObjectStore(x.t.Context(), bus.BucketBlobs)
	if err != nil {
		x.t.Fatal(err)
	}
	list, err := store.List(x.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		x.t.Fatal(err)
	}
	for _, o := range list {
		e.Objects = append(e.Objects, o.Name)
	}
}

// everything is all that a stream holds now.
func everything(t testing.TB, js jetstream.JetStream, stream string) (out []jetstream.Msg) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	last := s.CachedInfo().State.LastSeq
	if s.CachedInfo().State.Msgs == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream >= last {
			return out
		}
	}
}
