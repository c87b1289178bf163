package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
)

// Split runs each part as a process of its own, as an orchestrator would.
type Split struct {
	Env *Env
	// Command makes the process of a role; its standard streams are set here.
	// addr is where the role listens, once that is known: a process that is
	// started again must be where the others expect it. The process must write
	// a [Ready] to its standard output, and end when its standard input does.
	Command func(role, addr string) *exec.Cmd
	// Logs takes what the processes write to standard error, each line with
	// the role before it.
	Logs io.Writer
	// Started is told of each process, also of one that is started again.
	Started func(role string, pid int, again bool)

	mu sync.Mutex // of Logs
}

// Ready is the line with which a process says that it can be used.
type Ready struct {
	Event string   `json:"event"` // "ready"
	Roles []string `json:"roles,omitempty"`
	HTTP  string   `json:"http,omitempty"`
	NATS  string   `json:"nats,omitempty"`
	Hub   []string `json:"hub,omitempty"` // what is to be said of it
}

// Supervised is the variable that tells a process to end when its standard
// input does: that happens when its parent dies, however it dies.
const Supervised = "CC_SUPERVISED"

// EventReady is the Event of a [Ready].
const EventReady = "ready"

// Run runs the product until ctx ends. A process that dies is started again.
func (s *Split) Run(ctx context.Context, after ...app.Part) error {
	e := s.Env
	var inner, edge []app.Part
	for _, svc := range services() {
		if svc.edge {
			edge = append(edge, s.child(svc.name))
		} else {
			inner = append(inner, s.child(svc.name))
		}
	}
	var nats app.Part = s.child(RoleNATS)
	if e.Config.NATSURL != "" {
		nats = &natsPart{env: e}
	}
	groups := append(infrastructure(e, nats, s.child(RolePostgres)), setUp(e), inner, edge)
	for _, p := range after {
		groups = append(groups, []app.Part{p})
	}
	return app.Run(ctx, e.Log, stopWithin+5*time.Second, groups...)
}

func (s *Split) child(role string) *child {
	return &child{split: s, role: role, stopping: make(chan struct{}), stopped: make(chan struct{})}
}

// child keeps the process of one role going. It is a part.
type child struct {
	split    *Split
	role     string
	addr     string        // where it listens, once known
	current  *process      // of the keeper alone, while it runs
	stopping chan struct{} // closed by Stop
	stopped  chan struct{} // closed when the keeper has ended
}

func (c *child) Name() string { return c.role }

// Start returns when the process is ready. One that cannot be started in the
// first place is not tried again: the reason is worth more than the tries.
func (c *child) Start(ctx context.Context) error {
	began := time.Now()
	p, err := c.launch(false)
	if err != nil {
		return err
	}
	select {
	case r := <-p.ready:
		c.learn(r)
	case <-p.exited:
		return fmt.Errorf("the process ended before it was ready: %w", p.reason())
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.end(context.WithoutCancel(ctx), time.Second))
	}
	c.split.Env.notice(c.role, fmt.Sprintf("process %d", p.cmd.Process.Pid), began)
	if c.role == RoleNATS {
		c.split.Env.noticeHub(began)
	}
	c.current = p
	go c.keep(context.WithoutCancel(ctx))
	return nil
}

// learn keeps the address that the process was given.
func (c *child) learn(r Ready) {
	if r.HTTP != "" {
		c.split.Env.HTTP.Store(&r.HTTP)
	}
	if len(r.Hub) > 0 {
		c.split.Env.Hub.Store(&r.Hub)
	}
	for _, s := range []string{r.HTTP, r.NATS} {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			c.addr = u.Host
		}
	}
}

// How long it waits before it starts a process again.
const (
	minPause = 200 * time.Millisecond
	maxPause = 10 * time.Second
	// steady is how long a process has to live for its death to be the first
	// one again.
	steady = 5 * time.Second
)

// keep starts the process again whenever it dies.
func (c *child) keep(ctx context.Context) {
	defer close(c.stopped)
	log := c.split.Env.Log
	for pause := minPause; ; {
		began := time.Now()
		select {
		case <-c.stopping:
			return
		case <-c.current.exited:
		}
		log.WarnContext(ctx, "split.died", "role", c.role, "pid", c.current.cmd.Process.Pid, "err", c.current.reason())
		if time.Since(began) > steady {
			pause = minPause
		}
		for again := true; again; {
			t := time.NewTimer(pause)
			select {
			case <-t.C:
			case <-c.stopping:
				t.Stop()
				return
			}
			pause = min(2*pause, maxPause)
			next, err := c.launch(true)
			if err != nil {
				log.ErrorContext(ctx, "split.start", "role", c.role, "err", err)
				continue
			}
			c.current, again = next, false
		}
	}
}

// Stop asks the process to stop, and kills it shortly before the deadline.
func (c *child) Stop(ctx context.Context) error {
	close(c.stopping)
	<-c.stopped
	within := stopWithin
	if d, ok := ctx.Deadline(); ok {
		within = time.Until(d) - time.Second
	}
	return c.current.end(ctx, within)
}
