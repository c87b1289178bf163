package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestDeadLettersOfATeamPushOutItsOwnAlone(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{bustest.Taker}, bustest.WithContract(bustest.Taker, bus.Contract{External: true, DeadLetters: true}))
	c := e.Config(bustest.Taker)
	registry := prometheus.NewRegistry()
	c.Registerer = registry
	b := e.Connect(c)
	e.Team(1, "quiet")
	e.Team(1, "loud")
	e.Run(bus.NewExternal(b, nil, func(context.Context, bus.External) error { return bus.Bury(errors.New("it does not fit")) }))
	js, err := jetstream.New(e.Conn(natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	const kept, more = 1000, 5
	say := func(subject string, n int) {
		for i := range n {
			// Each has a subject of its own, so that no bound of the fact's would do.
			if _, err := js.PublishAsync(strings.ReplaceAll(subject, "#", fmt.Sprint(i)), fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	say("ext.p1.quiet.it.was#.v1", 2)
	say("ext.p1.loud.it.was#.v1", kept+more)
	of := map[string]uint64{}
	eventually(t, func() bool {
		s, err := js.Stream(t.Context(), bus.StreamDead)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("dead.>"))
		if err != nil {
			t.Fatal(err)
		}
		of = info.State.Subjects
		return info.State.LastSeq == kept+more+2
	})
	if of["dead.ingestion.ext.p1.quiet"] != 2 || of["dead.ingestion.ext.p1.loud"] != kept {
		t.Errorf("kept %v", of)
	}
	if n := replaced(t, registry); n < 1 || n > more {
		t.Errorf("%v counted as replaced, want about %d", n, more)
	}
	found, err := b.DeadLetters(t.Context(), bus.DeadFilter{Limit: 3})
	if err != nil || len(found) != 3 || !strings.HasPrefix(found[0].Subject, "ext.p1.") || !strings.HasSuffix(found[0].Subject, ".v1") || found[0].Project != 1 {
		t.Errorf("%v: %+v", err, found)
	}
}

// replaced is how many dead letters took the place of another.
func replaced(t *testing.T, r *prometheus.Registry) (n float64) {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "cc_bus_dead_letters_replaced_total" {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}
