package postgres_test

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"

	"github.com/commandcenter/commandcenter/services/research"
	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/task"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// counted is a database to which a wire leads that counts the statements that are
// executed, without those that begin and end a transaction.
func counted(t *testing.T) (*pg.DB, *atomic.Int64) {
	t.Helper()
	dsn, err := pg.ServiceDSN(pgtest.DSN(t, pgtest.New(t, research.Migrations)), research.Name, pgtest.Secrets())
	if err != nil {
		t.Fatal(err)
	}
	host, port := regexp.MustCompile(`host='?([^ ']+)'?`).FindStringSubmatch(dsn), regexp.MustCompile(`port='?(\d+)'?`).FindStringSubmatch(dsn)
	number := "5432"
	if port != nil {
		number = port[1]
	}
	dir, n := t.TempDir(), new(atomic.Int64)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, ".s.PGSQL."+number))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the test is over
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			back, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(host[1], ".s.PGSQL."+number))
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(front, back); _ = front.Close() }() // the other end is gone
			go relay(front, back, n)
		}
	}()
	db, err := pg.Open(t.Context(), pg.Config{DSN: regexp.MustCompile(`host='?[^ ']+'?`).ReplaceAllLiteralString(dsn, "host="+dir), Service: research.Name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the test is over
	return db, n
}

// relay hands messages of a client on, and counts those that execute something. The
// first one has no type.
func relay(from, to net.Conn, n *atomic.Int64) {
	defer to.Close() //nolint:errcheck // the other end is gone
	for typed := 0; ; typed = 1 {
		head := make([]byte, typed+4)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		if typed == 1 && head[0] == 'E' {
			n.Add(1)
		}
		if _, err := to.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(head[typed:]))-4); err != nil {
			return
		}
	}
}

func TestWhatIsReadTakesFewStatements(t *testing.T) {
	t.Parallel()
	db, n := counted(t)
	b, tasks := technology.Book{Keeper: postgres.New(db), Now: now}, task.Book{Keeper: postgres.NewTasks(db), Now: now}
	x := add(t, b, 1, "Go", nil)
	for range 5 {
		open(t, tasks, 1, "Why?", func(d *task.Draft) { d.TechnologyID, d.DueDate = &x.ID, &noon })
	}
	for name, c := range map[string]struct {
		most int64
		read func() error
	}{
		"technologies": {2, func() error { _, _, err := b.List(t.Context(), 1, technology.Filter{Limit: 50}); return err }},
		"technology":   {1, func() error { return second(b.Get(t.Context(), 1, x.ID)) }},
		"tasks":        {2, func() error { return second(tasks.List(t.Context(), 1, task.Filter{Limit: 50, TechnologyID: x.ID})) }},
		"task":         {2, func() error { return second(tasks.Get(t.Context(), 1, 1)) }},
		"due":          {2, func() error { return second(tasks.Due(t.Context(), 1, tasks.Upcoming(7, 50))) }},
		"statistics":   {1, func() error { return second(tasks.Count(t.Context(), 1, task.Filter{})) }},
	} {
		before := n.Load()
		if err := c.read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if took := n.Load() - before; took < 1 || took > c.most {
			t.Errorf("%s takes %d statements, at most %d", name, took, c.most)
		}
	}
}
