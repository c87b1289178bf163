package embed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// waiting returns once n queries and m batches wait at the gate.
func waiting(t *testing.T, g *Gate, n, m int) {
	t.Helper()
	ctx := soon(t)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		g.mu.Lock()
		there := len(g.queries) == n && len(g.batches) == m
		g.mu.Unlock()
		if there {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("there were never %d queries and %d batches waiting", n, m)
		}
	}
}

func TestQueriesGoFirstButABatchIsNotForgotten(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, 100)
	ctx := soon(t)
	if err := g.enterQuery(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []byte
	var all sync.WaitGroup
	enter := func(kind byte, enter func(context.Context) error, leave func()) {
		all.Go(func() {
			if err := enter(ctx); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, kind)
			mu.Unlock()
			leave()
		})
	}
	enter('b', g.enterBatch, g.leaveBatch)
	waiting(t, g, 0, 1)
	for i := range 20 {
		enter('q', g.enterQuery, g.leaveQuery)
		waiting(t, g, i+1, 1)
	}
	g.leaveQuery()
	all.Wait()
	if at := slices.Index(order, 'b'); at != patience {
		t.Errorf("the batch came in as number %d of %s", at, order)
	}
}

func TestABatchGivesItsPlaceToAQueryAndGetsItBack(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, 100)
	ctx := soon(t)
	if err := g.enterBatch(ctx); err != nil {
		t.Fatal(err)
	}
	if err := g.yield(ctx); err != nil {
		t.Fatalf("nobody waits: %v", err)
	}
	in, out := make(chan error), make(chan struct{})
	go func() {
		in <- g.enterQuery(ctx)
		<-out
		g.leaveQuery()
	}()
	waiting(t, g, 1, 0)
	back := make(chan error, 1)
	go func() { back <- g.yield(ctx) }()
	if err := <-in; err != nil {
		t.Fatal(err)
	}
	waiting(t, g, 0, 1)
	close(out)
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	g.leaveBatch()
	if g.free != 1 || g.batchRoom != 1 {
		t.Errorf("%d places, %d for batches", g.free, g.batchRoom)
	}
}

func TestBatchesLeaveAPlaceForQueries(t *testing.T) {
	t.Parallel()
	g := newGate(3, 2, 100)
	ctx := soon(t)
	for range 2 {
		if err := g.enterBatch(ctx); err != nil {
			t.Fatal(err)
		}
	}
	third := make(chan error, 1)
	go func() { third <- g.enterBatch(ctx) }()
	waiting(t, g, 0, 1)
	if err := g.enterQuery(ctx); err != nil {
		t.Fatal(err)
	}
	g.leaveQuery()
	select {
	case <-third:
		t.Error("a third batch came in")
	default:
	}
	g.leaveBatch()
	if err := <-third; err != nil {
		t.Error(err)
	}
}

func TestTooManyQueriesAreRefusedAndNoPlaceIsLost(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, 2)
	ctx := soon(t)
	if err := g.enterBatch(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if err := g.enterQuery(short); !errors.Is(err, context.Canceled) {
				t.Errorf("a query that gave up: %v", err)
			}
		})
	}
	waiting(t, g, 2, 0)
	if err := g.enterQuery(ctx); !errors.Is(err, errBusy) {
		t.Errorf("a third query: %v", err)
	}
	all.Go(func() {
		if err := g.enterBatch(short); !errors.Is(err, context.Canceled) {
			t.Errorf("a batch that gave up: %v", err)
		}
	})
	waiting(t, g, 2, 1)
	cancel()
	all.Wait()
	if err := g.yield(short); !errors.Is(err, context.Canceled) {
		t.Errorf("yield after the end: %v", err)
	}
	if g.free != 1 || g.batchRoom != 1 {
		t.Errorf("%d places, %d for batches", g.free, g.batchRoom)
	}
}

func TestAPlaceThatComesTogetherWithTheEndGoesBack(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	g := newGate(1, 1, 10)
	for range 200 { // select takes either way
		if g.enterQuery(ended) == nil {
			g.leaveQuery()
		}
		if g.enterBatch(ended) == nil {
			g.leaveBatch()
		}
	}
	if g.free != 1 || g.batchRoom != 1 {
		t.Errorf("%d places, %d for batches", g.free, g.batchRoom)
	}
}

func TestARankingGoesBehindQueriesAndBeforeBatches(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, 100)
	ctx := soon(t)
	if err := g.enterBatch(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []byte
	var all sync.WaitGroup
	enter := func(kind byte, enter func(context.Context) error, leave func()) {
		all.Go(func() {
			if err := enter(ctx); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, kind)
			mu.Unlock()
			leave()
		})
	}
	rankings := func(n int) func() bool {
		return func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.rankings) == n }
	}
	enter('b', g.enterBatch, g.leaveBatch)
	waiting(t, g, 0, 1)
	enter('r', g.enterRanking, g.leaveRanking)
	until(t, rankings(1))
	enter('q', g.enterQuery, g.leaveQuery)
	waiting(t, g, 1, 1)
	if err := g.yield(ctx); err != nil { // all but the other batch go first
		t.Fatal(err)
	}
	mu.Lock()
	if string(order) != "qr" {
		t.Errorf("a batch gave its place to %q", order)
	}
	mu.Unlock()
	g.leaveBatch()
	all.Wait()
	if string(order) != "qrb" || g.free != 1 || g.batchRoom != 1 {
		t.Errorf("came in as %q; %d places, %d for batches", order, g.free, g.batchRoom)
	}
}

func TestRankingsDoNotStopABatchForGood(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, 100)
	ctx := soon(t)
	if err := g.enterRanking(ctx); err != nil {
		t.Fatal(err)
	}
	in := make(chan error, 1)
	go func() { in <- g.enterBatch(ctx) }()
	waiting(t, g, 0, 1)
	next := make(chan error, 1)
	for n := 0; ; n++ {
		go func() { next <- g.enterRanking(ctx) }()
		until(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.rankings) == 1 })
		g.leaveRanking()
		select {
		case err := <-in:
			if err != nil || n != patience {
				t.Errorf("the batch came in after %d rankings: %v", n, err)
			}
			g.leaveBatch()
			if err := <-next; err != nil {
				t.Error(err)
			}
			return
		case err := <-next:
			if err != nil || n > patience {
				t.Fatalf("ranking %d: %v", n, err)
			}
		}
	}
}

// until waits for a condition.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	ctx := soon(t)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it never came")
		}
	}
}
