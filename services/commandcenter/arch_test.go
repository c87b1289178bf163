package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/archtest"
)

const house = "github.com/commandcenter/commandcenter"

// heavy are the libraries and the machinery that a noun does not know: it
// declares the one or two methods that it needs, and a room around it has them.
func heavy() []string {
	return []string{
		"github.com/labstack/...", "github.com/jmoiron/...", "github.com/lib/pq/...", "database/sql/...", "github.com/nats-io/...",
		"github.com/spf13/...", "github.com/golang-migrate/...",
		house + "/pkg/bus/...", house + "/pkg/natsd/...", house + "/pkg/pg/...", house + "/pkg/outbox/...",
	}
}

func TestServicesKeepTheArrowsOfTheHouse(t *testing.T) {
	t.Parallel()
	m, err := archtest.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	rules := []archtest.Rule{
		{
			Name: "nouns know no framework, no bus and no database", From: []string{"*/internal/*/..."},
			Except: []string{"commandcenter/...", "gateway/...", "*/internal/serve/...", "*/internal/inbox/...", "*/internal/postgres/..."},
			Deny:   heavy(), Because: "rules that can be read and tested with nothing outlive what carries them",
		},
		{
			Name: "SQL lives in the room postgres", From: []string{"*/..."},
			Except:  []string{"*/internal/postgres/...", "commandcenter/..."},
			Deny:    []string{"github.com/jmoiron/...", "github.com/lib/pq/...", "database/sql/..."},
			Because: "all the SQL of a service is in one place to read",
		},
		{
			Name: "the web framework stays in the gateway", From: []string{"..."}, Except: []string{"gateway/..."}, Tests: true,
			Deny: []string{"github.com/labstack/..."}, Because: "services answer over the bus and do not know that HTTP is in front",
		},
		{
			Name: "tests lean on the standard library", From: []string{"..."}, Tests: true,
			Deny:    []string{"github.com/stretchr/...", "github.com/golang/mock/...", "go.uber.org/mock/...", "github.com/DATA-DOG/..."},
			Because: "real parts are cheap here, and mocks of them lie",
		},
	}
	for _, s := range services(t, m) {
		rules = append(rules, archtest.Rule{
			Name: "no service imports another", From: []string{s + "/..."}, Tests: true, Deny: []string{"./..."}, Allow: []string{"./" + s + "/..."},
			Because: "its words come from proto-events and its answers over the bus",
		})
		for _, noun := range nouns(t, m, s) {
			rules = append(rules, archtest.Rule{
				Name: "arrows go from the rooms to the nouns", From: []string{s + "/internal/" + noun + "/..."},
				Deny:    []string{"./" + s, "./" + s + "/internal/serve/...", "./" + s + "/internal/inbox/...", "./" + s + "/internal/postgres/..."},
				Because: "a noun that knows its room cannot be used by another room",
			})
		}
		for _, room := range []string{"serve", "inbox"} {
			rules = append(rules, archtest.Rule{
				Name: "rooms do not know one another", From: []string{s + "/internal/" + room + "/..."},
				Deny:  []string{"./" + s, "./" + s + "/internal/serve/...", "./" + s + "/internal/inbox/...", "./" + s + "/internal/postgres/..."},
				Allow: []string{"./" + s + "/internal/" + room + "/..."}, Because: "module.go wires them, in sight of everybody",
			})
		}
	}
	archtest.Check(t, m.Imports(rules...), m.Names(), m.Testing(), m.Docs(), m.Long(450), m.Sleeps())
}

// services lists the services: the folders of the module, less the one binary,
// which is the only code that imports several of them.
func services(t *testing.T, m *archtest.Module) []string {
	t.Helper()
	var out []string
	for _, name := range folders(t, m.Root) {
		if name != "commandcenter" {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		t.Fatal("no service found: the test looks at the wrong folder")
	}
	return out
}

// nouns lists what service s is about: the packages of its internal that are
// not one of the three rooms.
func nouns(t *testing.T, m *archtest.Module, s string) []string {
	t.Helper()
	var out []string
	for _, name := range folders(t, filepath.Join(m.Root, s, "internal")) {
		if name != "serve" && name != "inbox" && name != "postgres" {
			out = append(out, name)
		}
	}
	return out
}

func folders(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "testdata" {
			out = append(out, e.Name())
		}
	}
	return out
}

// TestEveryServiceHasTheSameRooms: after one service you know the map of all.
// A room may be missing, never renamed; what else may lie beside them is named
// here with its reason.
func TestEveryServiceHasTheSameRooms(t *testing.T) {
	t.Parallel()
	m, err := archtest.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	beside := func(name string) bool {
		// Parts of a service for the tests of others; nothing else may import them.
		return strings.HasSuffix(name, "test")
	}
	for _, s := range services(t, m) {
		for _, file := range []string{"doc.go", "module.go", "config.go"} {
			if _, err := os.Stat(filepath.Join(m.Root, s, file)); err != nil {
				t.Errorf("%s: no %s", s, file)
			}
		}
		for _, name := range folders(t, filepath.Join(m.Root, s)) {
			if name != "internal" && name != "migrations" && name != "testdata" && !beside(name) {
				t.Errorf("%s/%s: not one of the rooms migrations and internal", s, name)
			}
		}
	}
}
