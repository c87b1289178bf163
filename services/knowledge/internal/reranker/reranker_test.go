package reranker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// model scores a passage by its length.
type model struct {
	mu     sync.Mutex
	name   string
	asked  [][]string
	before func(ctx context.Context) error
	closed bool
}

func (m *model) Name() string { return m.name }

func (m *model) AtOnce() int { return 2 }

func (m *model) Close() error {
	m.closed = true
	return nil
}

func (m *model) Score(ctx context.Context, _ string, passages []string) ([]float64, error) {
	m.mu.Lock()
	m.asked = append(m.asked, slices.Clone(passages))
	m.mu.Unlock()
	if m.before != nil {
		if err := m.before(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]float64, len(passages))
	for i, p := range passages {
		out[i] = float64(len(p)) / 100
	}
	return out, nil
}

// ended is what was heard of the rankings.
type ended struct {
	outcomes []string
	computed int
	kept     int
}

func start(t *testing.T, c Config, known ...Known) (*Rankers, *ended) {
	t.Helper()
	e := &ended{}
	c.Observe = func(outcome string, _ time.Duration, computed, kept int) {
		e.outcomes, e.computed, e.kept = append(e.outcomes, outcome), e.computed+computed, e.kept+kept
	}
	r := New(known, slog.New(slog.DiscardHandler), c)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, e
}

func stop(t *testing.T, r *Rankers) {
	t.Helper()
	if err := r.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func there(m *model) Known {
	return Known{Name: m.name, Load: func(context.Context) (Ranker, error) { return m, nil }}
}

func rank(t *testing.T, r *Rankers, name string, passages ...string) (scores []float64, by, why string) {
	t.Helper()
	scores, by, why, err := r.Rank(t.Context(), name, "q", passages)
	if err != nil {
		t.Fatal(err)
	}
	return scores, by, why
}

func TestAModelIsLoadedWhenItIsFirstAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := &model{name: "first"}, &model{name: "second"}
		loads := 0
		k := Known{Name: "first", Load: func(ctx context.Context) (Ranker, error) {
			loads++
			time.Sleep(time.Second)
			return first, ctx.Err()
		}}
		r, e := start(t, Config{}, k, there(second))
		if !slices.Equal(r.Names(), []string{"first", "second"}) {
			t.Errorf("%v", r.Names())
		}
		for range 3 {
			if scores, _, why := rank(t, r, "", "a"); scores != nil || why != Loading {
				t.Errorf("%v, %q", scores, why)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		scores, by, why := rank(t, r, "", "a", "abc")
		if !slices.Equal(scores, []float64{.01, .03}) || by != "first" || why != "" || loads != 1 {
			t.Errorf("%v by %q, %q; loaded %d times", scores, by, why, loads)
		}
		if _, _, why := rank(t, r, "third", "a"); why != Off {
			t.Errorf("a model that there is none of: %q", why)
		}
		if len(second.asked) != 0 || !slices.Equal(e.outcomes, []string{Missing, Missing, Missing, Ranked, Missing}) {
			t.Errorf("%v, %v", second.asked, e.outcomes)
		}
		stop(t, r)
		if !first.closed {
			t.Error("it was not closed")
		}
		if _, _, why := rank(t, r, "", "a"); why != Off {
			t.Errorf("after the end: %q", why)
		}
	})
}

func TestAModelThatIsNotThereIsLookedForAgainLaterEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r, _ := start(t, Config{Retry: time.Minute}, Known{Name: "m", Load: func(context.Context) (Ranker, error) {
			if tries++; tries == 3 {
				return &model{name: "m"}, nil
			}
			return nil, fmt.Errorf("load: %w", &Failure{Reason: "it is not there", Err: errors.New("/home/me: no such file")})
		}})
		ask := func() string {
			_, _, why := rank(t, r, "", "a")
			synctest.Wait()
			return why
		}
		ask()
		if why := ask(); why != "it is not there" || tries != 1 {
			t.Errorf("%q after %d tries", why, tries)
		}
		time.Sleep(time.Minute)
		ask()
		time.Sleep(time.Minute) // it is twice as long by now
		if ask(); tries != 2 {
			t.Errorf("%d tries", tries)
		}
		time.Sleep(time.Minute)
		ask()
		if why := ask(); why != "" || tries != 3 {
			t.Errorf("%q after %d tries", why, tries)
		}
		stop(t, r)
	})
}

func TestScoresAreComputedOnceAndSoManyAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &model{name: "m"}
		r, e := start(t, Config{Cached: 6}, there(m))
		rank(t, r, "", "x")
		synctest.Wait()
		rank(t, r, "", "a", "bb", "ccc")
		if scores, _, _ := rank(t, r, "", "ccc", "dddd", "a"); !slices.Equal(scores, []float64{.03, .04, .01}) {
			t.Errorf("%v", scores)
		}
		if e.computed != 4 || e.kept != 2 || len(m.asked) != 3 {
			t.Errorf("%+v, asked %v", e, m.asked)
		}
		if _, _, _, err := r.Rank(t.Context(), "", "another question", []string{"a"}); err != nil || e.computed != 5 {
			t.Errorf("%+v, %v", e, err)
		}
		for i := range 100 {
			rank(t, r, "", strings.Repeat("e", 10+i))
		}
		if r.scores.CleanUp(); r.scores.EstimatedSize() > 6 {
			t.Errorf("%d are kept", r.scores.EstimatedSize())
		}
		stop(t, r)
	})
}

func TestWhatWasScoredWhenTheTimeIsOverIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &model{name: "m", before: func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		r, e := start(t, Config{Deadline: 2500 * time.Millisecond}, there(m))
		rank(t, r, "", "x")
		synctest.Wait()
		all := []string{"a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg", "hhhhhhhh"} // four seconds' work
		began := time.Now()
		if scores, _, why := rank(t, r, "", all...); scores != nil || why != "re-ranking takes longer than 2.5s" || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("%v, %q after %v", scores, why, time.Since(began))
		}
		if scores, _, why := rank(t, r, "", all...); len(scores) != 8 || why != "" || scores[7] != .08 {
			t.Errorf("the second time: %v, %q", scores, why)
		}
		if !slices.Equal(e.outcomes, []string{Missing, Late, Ranked}) {
			t.Errorf("%v", e.outcomes)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, _, err := r.Rank(ctx, "", "q", []string{"not yet"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that went: %v", err)
		}
		stop(t, r)
	})
}

func TestTooManyRankingsAtATimeWaitWithinTheirDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		m := &model{name: "m", before: func(context.Context) error { <-hold; return nil }}
		r, e := start(t, Config{AtOnce: 1, Deadline: time.Second}, there(m))
		rank(t, r, "", "x")
		synctest.Wait()
		var all sync.WaitGroup
		all.Go(func() { rank(t, r, "", "first") })
		synctest.Wait()
		if _, _, why := rank(t, r, "", "second"); why != Crowded {
			t.Errorf("%q", why)
		}
		close(hold)
		all.Wait()
		if e.outcomes[1] != Full {
			t.Errorf("%v", e.outcomes)
		}
		m.before = func(context.Context) error { return errors.New("out of order") }
		if _, _, why := rank(t, r, "", "third"); why != Failed {
			t.Errorf("%q", why)
		}
		stop(t, r)
	})
}
