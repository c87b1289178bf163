package denial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// world is a ledger and what it has said.
type world struct {
	*testing.T
	*Ledger
	mu   sync.Mutex
	said []*platformv1.CallRecorded
	away int // how many more are refused; -1 for all
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t}
	l, err := NewLedger(w.hear, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.Ledger = l
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) hear(_ context.Context, m *platformv1.CallRecorded, _ uuid.UUID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away != 0 {
		w.away--
		return errors.New("the bus is away")
	}
	w.said = append(w.said, m)
	return nil
}

// roundOver waits until what was noted was told.
func (w *world) roundOver() []*platformv1.CallRecorded {
	w.Helper()
	told := make(chan struct{})
	w.wake <- told
	<-told
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.said
	w.said = nil
	return all
}

func count(all []*platformv1.CallRecorded) (n int) {
	for _, m := range all {
		n += int(m.GetCount())
	}
	return n
}

func of(user int, at time.Time) Denial {
	return Denial{
		Project: 1, Principal: fmt.Sprintf("user:%d", user), Operation: "deleteDocument", Reason: "forbidden", Address: "192.0.2.1",
		Target: []Named{{"document_id", "7"}}, At: at,
	}
}

func TestDenialsThatAreAlikeAreOneEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.Note(of(7, monday.Add(time.Duration(i)*time.Second)))
	}
	w.Note(of(8, monday))
	got := w.roundOver()
	if len(got) != 2 || count(got) != 6 {
		t.Fatalf("told %v", got)
	}
	for _, m := range got {
		if m.GetPrincipal() != "user:7" {
			continue
		}
		if m.GetCount() != 5 || !m.GetAcceptedAt().AsTime().Equal(monday) || !m.GetLastAt().AsTime().Equal(monday.Add(4*time.Second)) ||
			m.GetService() != "gateway" || m.GetProjectId() != 1 || m.GetReason() != "forbidden" || m.GetTarget()[0].GetValue() != "7" {
			t.Errorf("told %v", m)
		}
	}
	if got := w.roundOver(); len(got) != 0 {
		t.Errorf("told again: %v", got)
	}
}

func TestAFloodFillsNothingAndNoDenialIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const flood = 100_000
	for i := range flood {
		w.Note(Denial{Reason: "unauthenticated", Address: fmt.Sprintf("192.0.%d.%d", i>>8&255, i&255), Operation: "login", At: monday})
	}
	w.Note(of(7, monday)) // who is known is told of all the same
	got := w.roundOver()
	if len(got) > mostUnknown+2 || count(got) != flood+1 {
		t.Errorf("%d entries tell of %d", len(got), count(got))
	}
	if n := testutil.ToFloat64(w.summed); n != flood-2*mostUnknown { // those with an entry come a second time
		t.Errorf("%v are told of in sum", n)
	}
}

func TestTheFloodOfOneProjectHidesNothingInAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const flood = 20 * mostEntries
	for i := range flood {
		d := of(7, monday)
		d.Address, d.Operation = fmt.Sprintf("192.0.%d.%d", i>>8&255, i&255), fmt.Sprint("op", i>>16)
		w.Note(d)
	}
	quiet := of(8, monday)
	quiet.Project = 2
	w.Note(quiet)
	neighbour := of(9, monday) // of the very project
	w.Note(neighbour)
	told := map[string]int{}
	for _, m := range w.roundOver() {
		told[fmt.Sprintf("%d %s", m.GetProjectId(), m.GetPrincipal())] += int(m.GetCount())
		if m.GetProjectId() == 2 && (m.GetOperation() == "" || len(m.GetTarget()) != 1) {
			t.Errorf("of the other project: %v", m)
		}
	}
	if len(told) != 3 || told["1 user:7"] != flood || told["2 user:8"] != 1 || told["1 user:9"] != 1 {
		t.Errorf("told of %v", told)
	}
}

// Where too many projects are flooded at once, each is told in sum in its own log.
func TestManyFloodsAreToldOfInSumEachInItsProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const projects = mostEntries/mostOfOne + 8
	for p := range projects {
		for i := range 2 * mostOfOne {
			d := of(p, monday)
			d.Project, d.Address = tenant.Project(p+1), fmt.Sprintf("192.0.%d.%d", i>>8, i&255)
			w.Note(d)
		}
	}
	got := w.roundOver()
	told := map[int32]int{}
	for _, m := range got {
		told[m.GetProjectId()] += int(m.GetCount())
	}
	for p := range int32(projects) {
		if told[p+1] != 2*mostOfOne {
			t.Errorf("project %d: told of %d", p+1, told[p+1])
		}
	}
	if len(got) > mostEntries+projects {
		t.Errorf("%d entries", len(got))
	}
}

// While the bus is away a flood adds up to no more than a round.
func TestWhatAddsUpWhileTheBusIsAwayIsBoundedAndWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mu.Lock()
	w.away = -1
	w.mu.Unlock()
	const rounds = 30
	for r := range rounds {
		for i := range mostOfOne {
			d := of(7, monday.Add(time.Duration(r)*time.Second))
			d.Address = fmt.Sprintf("192.%d.%d.%d", r, i>>8, i&255)
			w.Note(d)
		}
		w.roundOver()
	}
	w.mu.Lock()
	w.away = 0
	w.mu.Unlock()
	if got := w.roundOver(); count(got) != rounds*mostOfOne || len(got) > mostOfOne+2 {
		t.Errorf("%d entries tell of %d", len(got), count(got))
	}
}

func TestOneWhoTriesManyThingsIsToldOfWithoutThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 * mostEntries {
		d := of(7, monday)
		d.Target[0].Value = fmt.Sprint(i)
		w.Note(d)
	}
	got := w.roundOver()
	if len(got) > mostDetailed+1 || count(got) != 10*mostEntries {
		t.Errorf("%d entries tell of %d", len(got), count(got))
	}
}

func TestWhatCannotBeToldIsToldLaterOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mu.Lock()
	w.away = 1
	w.mu.Unlock()
	w.Note(of(7, monday))
	if got := w.roundOver(); len(got) != 0 {
		t.Fatalf("told %v", got)
	}
	w.Note(of(7, monday.Add(time.Minute)))
	if got := w.roundOver(); count(got) != 2 {
		t.Errorf("told %v", got)
	}
}

func TestAGatewayThatStopsTellsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Note(of(7, monday))
	if err := w.Stop(t.Context()); err != nil || count(w.said) != 1 {
		t.Errorf("told %v, %v", w.said, err)
	}
	w = newWorld(t)
	w.away = -1
	w.Note(of(7, monday))
	if err := w.Stop(t.Context()); err != nil || testutil.ToFloat64(w.lost) != 1 {
		t.Errorf("lost %v, %v", testutil.ToFloat64(w.lost), err)
	}
}

func TestNamesAndFiguresAreThoseOfTheGateway(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	l, err := NewLedger(nil, slog.Default(), reg)
	if err != nil || l.Name() != "gateway.denials" {
		t.Fatalf("%s, %v", l.Name(), err)
	}
	if _, err := NewLedger(nil, slog.Default(), reg); err == nil || !strings.Contains(err.Error(), "denials") {
		t.Errorf("registered twice: %v", err)
	}
}

func TestOneWhoTriesManyAccountsIsToldOfWithoutThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 * mostUnknown {
		w.Note(Denial{Operation: "login", Reason: "unauthenticated", Address: "192.0.2.1", Target: []Named{{"user", fmt.Sprint("user:", i)}}, At: monday})
	}
	w.Note(Denial{Operation: "login", Reason: "unauthenticated", Address: "192.0.2.2", At: monday})
	got := w.roundOver()
	if len(got) != mostNamed+2 || count(got) != 10*mostUnknown+1 {
		t.Errorf("%d entries tell of %d", len(got), count(got))
	}
}
