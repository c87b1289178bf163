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
	// settings are variables that it needs beside what all of them are told. The
	// process must write a [Ready] to its standard output, and end when its
	// standard input does.
	Command func(role string, settings ...string) *exec.Cmd
	// Logs takes what the processes write to standard error, each line with
	// the name of the process before it.
	Logs io.Writer
	// Started is told of each process; of one that is started again with the
	// reason why the one before it ended.
	Started func(name string, pid int, died error)
	// Cluster runs what can be lost more than once: three NATS servers, two
	// processes of each service.
	Cluster bool

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
	var groups [][]app.Part
	if s.Cluster {
		var err error
		if groups, err = s.cluster(ctx); err != nil {
			return err
		}
	} else {
		var inner, edge []app.Part
		for _, svc := range services() {
			if svc.edge {
				edge = append(edge, s.child(svc.name, "CC_HTTP", ""))
			} else {
				inner = append(inner, s.child(svc.name, "", ""))
			}
		}
		var nats app.Part = s.child(RoleNATS, "CC_NATS", "")
		if e.Config.NATSURL != "" {
			nats = &natsPart{env: e}
		}
		groups = append(infrastructure(e, nats, s.child(RolePostgres, "", "")), setUp(e), inner, edge)
	}
	for _, p := range after {
		groups = append(groups, []app.Part{p})
	}
	return app.Run(ctx, e.Log, StopWithin+5*time.Second, groups...)
}

// child is the process of a role, which listens at addr by the setting listens;
// at what its own settings say when addr is empty.
func (s *Split) child(role, listens, addr string) *child {
	return &child{split: s, role: role, name: role, listens: listens, addr: addr, stopping: make(chan struct{}), stopped: make(chan struct{})}
}

// called gives one of several processes of a role its name.
func (c *child) called(number int) *child {
	c.name, c.number = fmt.Sprintf("%s-%d", c.role, number), number
	return c
}

// child keeps the process of one role going. It is a part.
type child struct {
	split    *Split
	role     string
	name     string        // the role, or with a number where there are several
	number   int           // among those of the role; 0 when it is the only one
	settings []string      // that no other process has
	listens  string        // the setting of addr; "" when nobody else has to know
	addr     string        // where it listens, once known: one that is started again must be there
	url      string        // the same, as clients call it
	current  *process      // of the keeper alone, while it runs
	stopping chan struct{} // closed by Stop
	stopped  chan struct{} // closed when the keeper has ended
}

func (c *child) Name() string { return c.name }

// Start returns when the process is ready. One that cannot be started in the
// first place is not tried again: the reason is worth more than the tries.
func (c *child) Start(ctx context.Context) error {
	began := time.Now()
	p, err := c.launch(nil)
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
	detail := fmt.Sprintf("process %d", p.cmd.Process.Pid)
	if c.split.Cluster && c.url != "" {
		detail += ", " + c.url
	}
	c.split.Env.notice(c.name, detail, began)
	if c.role == RoleNATS {
		c.split.Env.noticeHub(began)
	}
	c.current = p
	go c.keep(context.WithoutCancel(ctx))
	return nil
}

// learn keeps the address that the process was given.
func (c *child) learn(r Ready) {
	switch {
	case r.HTTP == "":
	case c.number > 1:
		c.split.Env.Second.Store(&r.HTTP)
	default:
		c.split.Env.HTTP.Store(&r.HTTP)
	}
	if len(r.Hub) > 0 {
		c.split.Env.Hub.Store(&r.Hub)
	}
	for _, s := range []string{r.HTTP, r.NATS} {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			c.addr, c.url = u.Host, s
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
		died := c.current.reason()
		log.WarnContext(ctx, "split.died", "role", c.name, "pid", c.current.cmd.Process.Pid, "err", died)
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
			next, err := c.launch(died)
			if err != nil {
				log.ErrorContext(ctx, "split.start", "role", c.name, "err", err)
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
	within := StopWithin
	if d, ok := ctx.Deadline(); ok {
		within = time.Until(d) - time.Second
	}
	return c.current.end(ctx, within)
}
