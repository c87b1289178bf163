package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stubborn is a client that talks to one NATS server and to no other: it goes on
// to write to a stream that this one leads, also when it is cut from its peers.
type stubborn struct {
	f    *fleet
	name string
	js   jetstream.JetStream // past the links, at any server

	stop  context.CancelFunc
	work  sync.WaitGroup
	gone  chan struct{} // closed when it was sent away
	mu    sync.Mutex
	acked []string
	tried int
}

// watchAlone makes a stream that the member leads, and begins to write to it.
func (f *fleet) watchAlone(js jetstream.JetStream, member string) *stubborn {
	f.t.Helper()
	eventually(f.t, "a stream that "+member+" leads", func(ctx context.Context) error {
		s, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "STUBBORN", Subjects: []string{"stubborn"}, Replicas: len(members)})
		if err != nil {
			return err
		}
		if s.CachedInfo().Cluster.Leader == member {
			return nil
		}
		_, err = js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN.STUBBORN", []byte(`{"placement":{"preferred":"`+member+`"}}`))
		return errors.Join(err, fmt.Errorf("led by %s", s.CachedInfo().Cluster.Leader))
	})
	w := &stubborn{f: f, name: member, js: js, gone: make(chan struct{})}
	sent := sync.OnceFunc(func() { close(w.gone) })
	nc, err := nats.Connect("nats://"+f.ports[member].to, nats.UserCredentials(filepath.Join(f.dir, "keys", "admin.creds")),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.DisconnectErrHandler(func(*nats.Conn, error) { sent() }))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(f.t.Context())
	w.stop = stop
	f.t.Cleanup(func() { stop(); w.work.Wait(); nc.Close() })
	w.work.Go(func() {
		for ctx.Err() == nil {
			w.write(ctx, nc)
		}
	})
	return w
}

// write writes once, and keeps what was acknowledged.
func (w *stubborn) write(ctx context.Context, nc *nats.Conn) {
	w.mu.Lock()
	w.tried++
	body := fmt.Sprint(w.tried)
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "stubborn", []byte(body))
	var ack struct {
		Stream string
		Error  any
	}
	if err != nil || json.Unmarshal(m.Data, &ack) != nil || ack.Error != nil || ack.Stream == "" {
		<-ctx.Done() // a pace
		return
	}
	w.mu.Lock()
	w.acked = append(w.acked, body)
	w.mu.Unlock()
}

// left waits until the member has sent its client away, which comes back since
// it knows no other.
func (w *stubborn) left() {
	w.f.t.Helper()
	select {
	case <-w.gone:
	case <-time.After(patience):
		w.f.t.Fatalf("%s keeps its clients, and has no peers:\n%s", w.name, w.f.log)
	}
}

// verify ends the writing and finds in the stream what was acknowledged.
func (w *stubborn) verify() {
	t := w.f.t
	t.Helper()
	w.stop()
	w.work.Wait()
	held := map[string]bool{}
	eventually(t, "what a stubborn client wrote", func(ctx context.Context) error {
		s, err := w.js.Stream(ctx, "STUBBORN")
		if err != nil {
			return err
		}
		state := s.CachedInfo().State
		for seq := state.FirstSeq; seq <= state.LastSeq && seq > 0; seq++ {
			m, err := s.GetMsg(ctx, seq)
			if err != nil {
				return err
			}
			held[string(m.Data)] = true
		}
		return nil
	})
	lost := slices.DeleteFunc(slices.Clone(w.acked), func(body string) bool { return held[body] })
	if len(lost) > 0 {
		t.Errorf("%s was cut from its peers and acknowledged %d writes that are lost: %v", w.name, len(lost), some(lost))
	}
	t.Logf("a client that stays at %s: %d writes tried, %d acknowledged, %d stored", w.name, w.tried, len(w.acked), len(held))
	if err := w.js.DeleteStream(t.Context(), "STUBBORN"); err != nil {
		t.Error(err)
	}
}

// TestAClusterOnOneMachineStartsAgainWhatDied kills one of each kind that `up
// --cluster` runs, and hears of each that it runs again.
func TestAClusterOnOneMachineStartsAgainWhatDied(t *testing.T) {
	t.Parallel()
	if os.Getenv("CC_TEST_CLUSTER") == "" {
		t.Skip("starts fourteen processes: `make cluster`")
	}
	p := apart(t, dataDir(t), "--no-sample", "--cluster")
	for _, name := range []string{"nats-2", "knowledge-1", "gateway-1", "postgres"} {
		was := p.pids[name]
		if was == 0 {
			t.Fatalf("no process %s in %v", name, p.pids)
		}
		if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", name, err)
		}
		p.await("process", func(e map[string]any) bool {
			why, _ := e["why"].(string)
			return e["role"] == name && e["again"] == true && strings.Contains(why, "killed")
		})
		if p.pids[name] == was {
			t.Errorf("%s has the same process", name)
		}
		awaitHealthy(t, p)
	}
	var services []struct {
		Name string `json:"name"`
		ID   string `json:"id"`
	}
	eventually(t, "two processes of each service", func(context.Context) error {
		services = nil
		p.must(&services, "bus", "services")
		of := map[string]map[string]bool{}
		for _, s := range services {
			if of[s.Name] == nil {
				of[s.Name] = map[string]bool{}
			}
			of[s.Name][s.ID] = true
		}
		if len(of["knowledge"]) != 2 {
			return fmt.Errorf("%v", of)
		}
		return nil
	})
}
