package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

type doubling struct{ N int }

type doubled struct {
	Twice any `json:"twice"`
}

var doubles = jobs.Type{
	Kind: "double", Title: "Doubles a number",
	Input:  json.RawMessage(`{"type":"object","required":["n"],"additionalProperties":false,"properties":{"n":{"type":"integer","maximum":1000}}}`),
	Output: json.RawMessage(`{"type":"object","required":["twice"],"properties":{"twice":{"type":"integer"}}}`),
}

// typed runs a manager with the type double.
func (w *world) typed(h func(ctx context.Context, r *jobs.Run, in doubling) (doubled, error)) *jobs.Manager {
	w.t.Helper()
	m := jobs.New(w.db, w.bus, quick())
	must(w.t, jobs.Register(m, doubles, h))
	must(w.t, m.Start(w.t.Context()))
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), patience)
		defer cancel()
		must(w.t, m.Stop(ctx))
	})
	return m
}

func ask(t testing.TB, m *jobs.Manager, j jobs.Job) jobs.Job {
	t.Helper()
	j.Kind, j.Project = "double", 1
	if j.Payload == nil {
		j.Payload = json.RawMessage(`{"n":1}`)
	}
	j, err := m.Ask(t.Context(), j)
	must(t, err)
	return j
}

func TestATypeTakesAndGivesWhatItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.typed(func(_ context.Context, r *jobs.Run, in doubling) (doubled, error) {
		r.Spend("digits", 2)
		if in.N == 13 {
			return doubled{"many"}, nil
		}
		return doubled{2 * in.N}, nil
	})
	j := final(t, m, ask(t, m, jobs.Job{Payload: json.RawMessage(`{"n":21}`)}).ID)
	if j.State != jobs.Done || string(j.Result) != `{"twice": 42}` || string(j.Spent) != `{"digits": 2}` {
		t.Errorf("%+v", j)
	}
	for _, bad := range []struct{ payload, at string }{{`{"n":1001}`, "n"}, {`{"n":"x"}`, "n"}, {`{}`, ""}, {`{"n":1,"m":2}`, ""}, {`[]`, ""}, {`{`, ""}} {
		_, err := m.Ask(t.Context(), jobs.Job{Kind: "double", Project: 1, Payload: json.RawMessage(bad.payload)})
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.Invalid || len(e.Fields) != 1 || bad.at != "" && e.Fields[0].Loc[len(e.Fields[0].Loc)-1] != bad.at {
			t.Errorf("%s: %+v", bad.payload, e)
		}
	}
	for name, bad := range map[string]jobs.Job{
		"type": {Kind: "halve"}, "input": {Kind: "double", Payload: json.RawMessage(`{"n":1,"x":"` + strings.Repeat("x", jobs.MostInput) + `"}`)},
		"tags": {Kind: "double", Tags: json.RawMessage(`{"x":"` + strings.Repeat("x", jobs.MostTags) + `"}`)}, "priority": {Kind: "double", Priority: 11},
		"key": {Kind: "double", Payload: json.RawMessage(`{"n":1}`), Unique: strings.Repeat("x", 201)}, "needs": {Kind: "double", Payload: json.RawMessage(`{"n":1}`), Needs: make([]uuid.UUID, 51)},
	} {
		bad.Project = 1
		if _, err := m.Ask(t.Context(), bad); errs.As(err).Kind != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := ask(t, m, jobs.Job{Payload: json.RawMessage(`{"n":13}`), MaxAttempts: 1})
	if j := final(t, m, broken.ID); j.State != jobs.Dead || j.Result != nil {
		t.Errorf("a result that was not promised: %+v", j)
	}
	if types := m.Types(); len(types) != 1 || types[0].Title != doubles.Title {
		t.Errorf("%v", types)
	}
	for _, schema := range []string{`{`, `{"type":"nothing"}`} {
		bad := doubles
		bad.Output = json.RawMessage(schema)
		if err := jobs.Register(m, bad, func(context.Context, *jobs.Run, doubling) (doubled, error) { return doubled{}, nil }); err == nil {
			t.Errorf("%s is a schema", schema)
		}
	}
}

func TestAHeldJobWaitsUntilItIsLetGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.typed(func(_ context.Context, _ *jobs.Run, in doubling) (doubled, error) { return doubled{in.N}, nil })
	held := ask(t, m, jobs.Job{Held: true})
	other := ask(t, m, jobs.Job{Held: true})
	final(t, m, ask(t, m, jobs.Job{}).ID) // later ones go before
	if j, err := m.Get(t.Context(), 1, held.ID); err != nil || j.State != jobs.Held {
		t.Fatalf("%+v, %v", j, err)
	}
	two := 2
	if j, err := m.Relabel(t.Context(), 1, held.Number, json.RawMessage(`{"a":1}`), &two); err != nil || j.Priority != 2 || string(j.Tags) != `{"a": 1}` {
		t.Errorf("%+v, %v", j, err)
	}
	_, err := m.Dispatch(t.Context(), 1, held.Number, time.Millisecond)
	must(t, err)
	final(t, m, held.ID)
	if _, err := m.Dispatch(t.Context(), 1, held.Number, 0); !errors.Is(err, jobs.ErrOver) {
		t.Errorf("%v", err)
	}
	if _, err := m.Relabel(t.Context(), 1, held.Number, nil, &[]int{3}[0]); errs.As(err).Kind != errs.Conflict {
		t.Errorf("%v", err)
	}
	if _, err := m.Relabel(t.Context(), 1, held.Number, nil, &[]int{99}[0]); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
	if j, err := m.Cancel(t.Context(), 1, other.ID); err != nil || j.State != jobs.Cancelled {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := m.Dispatch(t.Context(), 2, held.Number, 0); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestWhileOneOfAKeyIsNotOverThereIsNoSecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.typed(func(_ context.Context, _ *jobs.Run, in doubling) (doubled, error) { return doubled{in.N}, nil })
	one := ask(t, m, jobs.Job{Held: true, Unique: "k"})
	if same := ask(t, m, jobs.Job{Unique: "k"}); same.ID != one.ID {
		t.Errorf("%+v", same)
	}
	if other := ask(t, m, jobs.Job{Unique: "l"}); other.ID == one.ID {
		t.Errorf("%+v", other)
	}
	_, err := m.Dispatch(t.Context(), 1, one.Number, 0)
	must(t, err)
	final(t, m, one.ID)
	next := ask(t, m, jobs.Job{Held: true, Unique: "k"})
	if next.ID == one.ID {
		t.Error("the key is kept by a job that is over")
	}
	again := uuid.New()
	first, second := ask(t, m, jobs.Job{ID: again}), ask(t, m, jobs.Job{ID: again})
	if first.ID != again || second.ID != again {
		t.Error("one id is two jobs")
	}
}

func TestAJobWaitsForThoseThatItNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var order atomic.Value
	order.Store("")
	m := w.typed(func(_ context.Context, _ *jobs.Run, in doubling) (doubled, error) {
		order.Store(order.Load().(string) + strconv.Itoa(in.N))
		if in.N == 9 {
			return doubled{}, errs.New(errs.Invalid, "no")
		}
		return doubled{in.N}, nil
	})
	one, two := ask(t, m, jobs.Job{Held: true}), ask(t, m, jobs.Job{Held: true, Payload: json.RawMessage(`{"n":2}`)})
	after := ask(t, m, jobs.Job{Payload: json.RawMessage(`{"n":3}`), Needs: []uuid.UUID{one.ID, two.ID}})
	for _, n := range []int64{two.Number, after.Number, one.Number} {
		_, err := m.Dispatch(t.Context(), 1, n, 0)
		must(t, err)
		if n != after.Number {
			await(t, m, 1, map[int64]uuid.UUID{one.Number: one.ID, two.Number: two.ID}[n], jobs.Job.Final)
		}
	}
	if j := final(t, m, after.ID); j.State != jobs.Done || order.Load() != "213" {
		t.Errorf("%+v after %v", j, order.Load())
	}
	fails := ask(t, m, jobs.Job{Payload: json.RawMessage(`{"n":9}`)})
	for _, needs := range []uuid.UUID{fails.ID, uuid.New()} {
		if j := final(t, m, ask(t, m, jobs.Job{Needs: []uuid.UUID{needs}}).ID); j.State != jobs.Cancelled || !strings.Contains(j.Error, "needs") {
			t.Errorf("%+v", j)
		}
	}
}

func TestAJobThatFailedGoesOnWhereItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var good atomic.Int64
	m := w.typed(func(ctx context.Context, r *jobs.Run, in doubling) (doubled, error) {
		for _, step := range []string{"one", "two"} {
			if err := r.Step(ctx, step, func(ctx context.Context) error {
				must(t, r.Log(ctx, jobs.Info, "did "+step+" with "+strconv.Itoa(in.N)))
				return effect(ctx, w.db, 1, step)
			}); err != nil {
				return doubled{}, err
			}
		}
		if int64(in.N) != good.Load() {
			return doubled{}, errs.New(errs.Invalid, "not this number")
		}
		return doubled{in.N}, nil
	})
	j := final(t, m, ask(t, m, jobs.Job{}).ID)
	retry := func(from, input, want string, one, two int) {
		t.Helper()
		if _, err := m.Retry(t.Context(), 1, j.Number, from, json.RawMessage(input)); err != nil {
			t.Fatal(err)
		}
		if got := final(t, m, j.ID); got.State != want || w.effects("one") != one || w.effects("two") != two {
			t.Errorf("%s from %q with %q: one %d, two %d", got.State, from, input, w.effects("one"), w.effects("two"))
		}
	}
	retry("", "", jobs.Failed, 1, 1)
	retry("two", "", jobs.Failed, 1, 2)
	retry("two", `{"n":4}`, jobs.Failed, 1, 3)
	if _, err := m.Retry(t.Context(), 1, j.Number, "three", nil); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
	if _, err := m.Retry(t.Context(), 1, j.Number, "", json.RawMessage(`{"n":"x"}`)); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
	good.Store(5)
	retry("", `{"n":5}`, jobs.Done, 2, 4)
	if _, err := m.Retry(t.Context(), 1, j.Number, "", nil); !errors.Is(err, jobs.ErrGoesOn) {
		t.Errorf("%v", err)
	}
	lines, steps, err := m.Noted(t.Context(), 1, j.Number)
	must(t, err)
	text := ""
	for i, l := range lines {
		if l.Seq != i+1 {
			t.Errorf("line %d is %d", i, l.Seq)
		}
		text += l.Level + " " + l.Message + "\n"
	}
	if len(steps) != 2 || steps[0].Name != "one" || !strings.Contains(text, "info did two with 4\nerror not this number\ninfo tried again by the instance\ninfo did one with 5") {
		t.Errorf("%v\n%s", steps, text)
	}
	if _, _, err := m.Noted(t.Context(), 2, j.Number); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if n := len(j.Result); n != 0 || j.BusyMS < 0 {
		t.Errorf("%+v", j)
	}
}

func TestALogHasABound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.typed(func(ctx context.Context, r *jobs.Run, _ doubling) (doubled, error) {
		must(t, w.db.InTenant(ctx, 1, func(ctx context.Context, _ *sqlx.Tx) error {
			for range jobs.MostLines + 5 {
				if err := r.Log(ctx, jobs.Warn, strings.Repeat("ü", 900)); err != nil {
					return err
				}
			}
			return nil
		}))
		for i := range 30 {
			r.Spend("unit"+strconv.Itoa(i), 1)
		}
		return doubled{1}, nil
	})
	j := final(t, m, ask(t, m, jobs.Job{}).ID)
	var spent map[string]int
	must(t, json.Unmarshal(j.Spent, &spent))
	var lines, longest int
	must(t, pgtest.Admin(t, w.db).QueryRow(`SELECT count(*), max(length(message)) FROM work.job_logs`).Scan(&lines, &longest))
	if lines != jobs.MostLines || longest != 500 || len(spent) != 20 {
		t.Errorf("%d lines of %d, %d units", lines, longest, len(spent))
	}
}
