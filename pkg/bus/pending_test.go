package bus_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestACommandHasOneTimeInEveryAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edge := w.Bus(bustest.Edge)
	first, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || first.AcceptedAt.IsZero() {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || !again.AcceptedAt.Equal(first.AcceptedAt) {
		t.Errorf("given again: %v, %v; first %v", again, err, first.AcceptedAt)
	}
	st, err := edge.Operation(t.Context(), alice, first.OperationID)
	if err != nil || !st.AcceptedAt.Equal(first.AcceptedAt) {
		t.Errorf("asked before it ran: %v, %v; first %v", st, err, first.AcceptedAt)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, func() bool {
		st, err = edge.Operation(t.Context(), alice, first.OperationID)
		return err == nil && !st.Pending
	})
	if !st.AcceptedAt.Equal(first.AcceptedAt) || !st.FinishedAt.After(first.AcceptedAt) {
		t.Errorf("asked after it ran: %v to %v; first %v", st.AcceptedAt, st.FinishedAt, first.AcceptedAt)
	}
}

// goesOn is the answer of a command whose work is not done.
type goesOn struct {
	Step int `json:"step"`
}

func (goesOn) StatusCode() int { return http.StatusAccepted }

func TestACommandThatGoesOnElsewhereIsPendingUntilItIsFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edge := w.Bus(bustest.Edge)
	s := bus.NewServer(w.Bus("auth"), bus.ServerConfig{DB: w.db})
	bus.Command(s, "count", func(context.Context, echoRequest) (goesOn, error) { return goesOn{1}, nil })
	w.Run(s)
	for key, end := range map[string]struct {
		res     any
		failure error
	}{"done": {res: created{9}}, "refused": {failure: errs.New(errs.Invalid, "the text cannot be read")}, "failed": {failure: errs.New(errs.Internal, "oh")}} {
		a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: key})
		if err != nil || !a.Pending || a.Replayed || a.Status != http.StatusAccepted || string(a.Body) != `{"step":1}` || a.AcceptedAt.IsZero() {
			t.Fatalf("%s: %+v, %v", key, a, err)
		}
		again, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: key})
		if err != nil || !again.Pending || !again.Replayed || string(again.Body) != `{"step":1}` || !again.AcceptedAt.Equal(a.AcceptedAt) {
			t.Errorf("%s: again %+v, %v", key, again, err)
		}
		st, err := edge.Operation(t.Context(), alice, a.OperationID)
		if err != nil || !st.Pending || string(st.Answer.Body) != `{"step":1}` || !st.AcceptedAt.Equal(a.AcceptedAt) || !st.FinishedAt.IsZero() {
			t.Errorf("%s: meanwhile %+v, %v", key, st, err)
		}
		id := uuid.MustParse(strings.TrimPrefix(a.OperationID, "auth."))
		if err := s.Finish(t.Context(), 42, id, goesOn{2}, nil); err == nil {
			t.Errorf("%s: finished with 202", key)
		}
		for _, end := range []struct {
			res     any
			failure error
		}{end, {res: created{10}}} { // the second comes too late
			if err := s.Finish(t.Context(), 42, id, end.res, end.failure); err != nil {
				t.Error(err)
			}
		}
		st, err = edge.Operation(t.Context(), alice, a.OperationID)
		if err != nil || st.Pending || !st.AcceptedAt.Equal(a.AcceptedAt) || st.FinishedAt.Before(st.AcceptedAt.Add(-time.Second)) {
			t.Fatalf("%s: finished %+v, %v", key, st, err)
		}
		if errs.KindOf(st.Err) != errs.KindOf(end.failure) || end.failure == nil && (st.Answer.Status != 201 || string(st.Answer.Body) != `{"id":9}`) {
			t.Errorf("%s: finished %+v", key, st)
		}
		if _, err = w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: key}); errs.KindOf(err) != errs.KindOf(end.failure) {
			t.Errorf("%s: the same key afterwards: %v", key, err)
		}
	}
	if err := s.Finish(t.Context(), 42, uuid.New(), created{1}, nil); err != nil {
		t.Errorf("of an operation that is forgotten: %v", err)
	}
}

func TestACommandThatTheStreamHasIsPendingThoughNoNoteOfItCanBeKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	st, err := js.Stream(t.Context(), "KV_"+bus.BucketOperations)
	if err != nil {
		t.Fatal(err)
	}
	full := st.CachedInfo().Config
	full.MaxBytes, full.Discard = 1, jetstream.DiscardNew
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	conf := w.Config(bustest.Edge)
	conf.Timeout = 300 * time.Millisecond // for which the note is tried
	a, err := w.Connect(conf).Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Wait: -1})
	if err != nil || !a.Pending || a.Status != http.StatusAccepted || a.OperationID == "" || a.AcceptedAt.IsZero() {
		t.Fatalf("%+v, %v", a, err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, func() bool {
		st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, a.OperationID)
		return err == nil && !st.Pending
	})
}

func TestAFullBucketOfNotesGivesUpItsOldest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	st, err := js.Stream(t.Context(), "KV_"+bus.BucketOperations)
	if err != nil {
		t.Fatal(err)
	}
	small := st.CachedInfo().Config
	small.MaxBytes = 2048 // a few notes
	if _, err := js.UpdateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	var last string
	for range 20 {
		a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Wait: -1})
		if err != nil {
			t.Fatal(err)
		}
		last = a.OperationID
	}
	if st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, last); err != nil || !st.Pending {
		t.Errorf("the latest: %+v %v", st, err)
	}
}

func TestANoteThatCouldNotBeKeptIsKeptOnceItCan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	st, err := js.Stream(t.Context(), "KV_"+bus.BucketOperations)
	if err != nil {
		t.Fatal(err)
	}
	ready := st.CachedInfo().Config
	full := ready
	full.MaxBytes, full.Discard = 1, jetstream.DiscardNew
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		*bus.Answer
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Wait: -1})
		answers <- answer{a, err}
	}()
	w.eventually(t, func() bool { // the command is durable, and its note was tried or is about to be
		s, err := js.Stream(t.Context(), bus.StreamCommands)
		return err == nil && s.CachedInfo().State.Msgs == 1
	})
	if _, err := js.UpdateStream(t.Context(), ready); err != nil {
		t.Fatal(err)
	}
	a := bustest.Await(w.Env, answers)
	if a.err != nil {
		t.Fatal(a.err)
	}
	if st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, a.OperationID); err != nil || !st.Pending {
		t.Errorf("%+v, %v", st, err)
	}
}
