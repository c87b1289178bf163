package research

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func TestASweepRemovesWhatNoTaskRefersToAndNothingOfOthers(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{Name}, bustest.WithContract(Name, bus.Contract{Serves: []string{"attachTaskDocument"}, TakesCommands: true, Objects: true}))
	put := func(owner string) bus.ObjectRef {
		ref, err := env.Bus(bustest.Edge).PutObjectFor(t.Context(), owner, 1, "a.md", "", strings.NewReader("hello"), 100)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	kept, lost, others := put(Name), put(Name), put("knowledge")
	swept := make(chan struct{}, 1)
	s := &sweeper{after: time.Hour, bus: env.Bus(Name), log: obs.Discard(), now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		referred: func(context.Context, tenant.Project, []string) ([]string, error) {
			swept <- struct{}{}
			return []string{kept.Name}, nil
		}}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-swept
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sweep(t.Context()); err != nil { // whether or not the first one was cut short
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ref   bus.ObjectRef
		there bool
	}{"kept": {kept, true}, "lost": {lost, false}, "of others": {others, true}} {
		r, err := env.Bus(Name).GetObject(t.Context(), c.ref)
		if err == nil {
			err = r.Close()
		}
		if c.there && err != nil || !c.there && errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	away := errors.New("the database is away")
	s.referred = func(context.Context, tenant.Project, []string) ([]string, error) { return nil, away }
	if _, err := s.sweep(t.Context()); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}
