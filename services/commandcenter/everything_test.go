package main_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// everything shows all that a running product keeps, as it reads it itself: each
// value of each row of each table of each database, each message and consumer of
// each stream and bucket of each account, each file of keys and logs. Nothing is
// listed here, so that what a service that is added later keeps is shown as well.
// It returns how many values each kind has, which a test looks at: nothing is found
// where nothing is looked at.
func (p *product) everything(t testing.TB, show func(where string, value []byte)) (counts map[string]int) {
	t.Helper()
	counts = map[string]int{}
	each := func(kind string) func(where string, value []byte) {
		return func(where string, value []byte) {
			counts[kind]++
			show(where, value)
		}
	}
	p.rows(t, each("rows"))
	for _, account := range []string{"admin", "hub-admin"} {
		p.messages(t, account, each("messages"))
	}
	for _, dir := range []string{"keys", "logs"} {
		err := filepath.WalkDir(filepath.Join(p.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) { // rotated
				return nil
			}
			rel, _ := filepath.Rel(p.dir, path) // both are absolute
			each("files")("file "+rel, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return counts
}

// rows shows "<schema>.<table>.<column>".
func (p *product) rows(t testing.TB, show func(where string, value []byte)) {
	t.Helper()
	dsn, err := os.ReadFile(filepath.Join(p.dir, "keys", "postgres.dsn"))
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, string(dsn))
	defer first.Close()
	var databases []string
	if err := first.Select(&databases, `SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate`); err != nil {
		t.Fatal(err)
	}
	for _, name := range databases {
		database(t, string(dsn)+" dbname="+name, show)
	}
}

func database(t testing.TB, dsn string, show func(where string, value []byte)) {
	t.Helper()
	db := open(t, dsn)
	defer db.Close()
	var tables []string
	const q = `
		SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE  n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'm', 'f') ORDER BY 1`
	if err := db.Select(&tables, q); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if err := relation(db, table, show); err != nil {
			t.Fatalf("read %s: %v", table, err)
		}
	}
}

func relation(db *sqlx.DB, table string, show func(where string, value []byte)) error {
	rows, err := db.Queryx(`SELECT * FROM ` + table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return err
		}
		for i, v := range values {
			text, ok := v.([]byte)
			if !ok {
				text = fmt.Append(nil, v)
			}
			show(table+"."+columns[i], text)
		}
	}
	return rows.Err()
}

func open(t testing.TB, dsn string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() }) // only read from
	return db
}

// messages shows "stream <name> <subject>", of objects by their names, and
// "consumer <stream> <name>".
func (p *product) messages(t testing.TB, user string, show func(where string, value []byte)) {
	t.Helper()
	nc, err := nats.Connect(p.nats, nats.UserCredentials(filepath.Join(p.dir, "keys", user+".creds")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	all := js.ListStreams(t.Context())
	for info := range all.Info() {
		name := info.Config.Name
		s, err := js.Stream(t.Context(), name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // it has just gone
		}
		if err != nil {
			t.Fatal(err)
		}
		show("stream "+name, fmt.Appendf(nil, "%+v", s.CachedInfo().Config))
		consumers := s.ListConsumers(t.Context())
		for c := range consumers.Info() {
			show("consumer "+name+" "+c.Name, fmt.Appendf(nil, "%+v", c.Config))
		}
		for seq := uint64(1); ; {
			m, err := s.GetMsg(t.Context(), seq, jetstream.WithGetMsgSubject(">"))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				t.Fatalf("stream %s: %v", name, err)
			}
			where := "stream " + name + " " + m.Subject
			if at := strings.LastIndex(m.Subject, ".M."); strings.HasPrefix(name, "OBJ_") && at > 0 {
				if object, err := base64.URLEncoding.DecodeString(m.Subject[at+3:]); err == nil {
					where += " " + string(object)
				}
			}
			header, err := json.Marshal(m.Header)
			if err != nil {
				t.Fatal(err)
			}
			show(where, append(append([]byte(where), header...), m.Data...))
			seq = m.Sequence + 1
		}
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
}
