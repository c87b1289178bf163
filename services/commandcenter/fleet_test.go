package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// link is a TCP connection that can be cut: what was sent arrives no more, and
// nobody is told, as when a cable is drawn. No rights are needed for it.
type link struct {
	to   string
	ln   net.Listener
	mu   sync.Mutex
	open chan struct{} // closed while the link carries
	end  chan struct{}
	work sync.WaitGroup
}

func newLink(t testing.TB) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the test
	if err != nil {
		t.Fatal(err)
	}
	l := &link{ln: ln, open: make(chan struct{}), end: make(chan struct{})}
	close(l.open)
	l.work.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() { l.carry(in) })
		}
	})
	t.Cleanup(func() {
		close(l.end)
		_ = ln.Close()
		l.work.Wait()
	})
	return l
}

// leads says where the link leads, before anybody uses it.
func (l *link) leads(to string) {
	l.mu.Lock()
	l.to = to
	l.mu.Unlock()
}

func (l *link) addr() string { return l.ln.Addr().String() }

// pass waits while the link is cut.
func (l *link) pass() bool {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	select {
	case <-open:
		return true
	case <-l.end:
		return false
	}
}

func (l *link) cut() {
	l.mu.Lock()
	l.open = make(chan struct{})
	l.mu.Unlock()
}

func (l *link) mend() {
	l.mu.Lock()
	close(l.open)
	l.mu.Unlock()
}

func (l *link) carry(in net.Conn) {
	defer in.Close() //nolint:errcheck // either side may have closed it
	if !l.pass() {
		return
	}
	out, err := net.Dial("tcp", l.to) //nolint:noctx // loopback
	if err != nil {
		return
	}
	defer out.Close() //nolint:errcheck // likewise
	over := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		l.work.Go(func() {
			defer func() { over <- struct{}{} }()
			buf := make([]byte, 64<<10)
			for {
				n, err := way[0].Read(buf)
				if n > 0 && l.pass() {
					if _, err := way[1].Write(buf[:n]); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
	select {
	case <-over:
		l.pass() // the end does not arrive either
	case <-l.end:
	}
}

// process is one of a fleet.
type process struct {
	name string
	args []string
	env  []string
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{}
}

// fleet is the product on what could be many machines: three NATS servers, each
// behind links of its own, two processes of the services, two gateways.
type fleet struct {
	t     testing.TB
	dir   string
	log   *tail
	parts map[string]*process
	ports map[string]*link // of each NATS server, to its clients
	ways  map[string]*link // from one to another, by both names
	urls  []string         // of the gateways
	nats  string           // without links, for whoever looks on
}

var members = []string{"nats-1", "nats-2", "nats-3"}

// assemble starts a fleet.
func assemble(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: dataDir(t), log: &tail{}, parts: map[string]*process{}, ports: map[string]*link{}, ways: map[string]*link{}}
	// The links listen before ports are found that nobody has.
	for i, name := range members {
		f.ports[name] = newLink(t)
		for j, other := range members {
			if i != j {
				f.ways[name+" "+other] = newLink(t)
			}
		}
	}
	ports, err := natsd.FreeRoutes(t.Context(), "127.0.0.1", 2*len(members)+2)
	if err != nil {
		t.Fatal(err)
	}
	clients, routes, http := ports[:3], ports[3:6], ports[6:]
	var urls, direct []string
	for i, name := range members {
		f.ports[name].leads(clients[i])
		urls, direct = append(urls, "nats://"+f.ports[name].addr()), append(direct, "nats://"+clients[i])
	}
	f.nats = strings.Join(direct, ",")
	for i, name := range members {
		var to []string
		for j, other := range members {
			if i == j {
				to = append(to, routes[i])
				continue
			}
			l := f.ways[name+" "+other]
			l.leads(routes[j])
			to = append(to, l.addr())
		}
		// Port 1 leads nowhere: members meet over the links alone.
		f.add(name, []string{"serve", "nats"}, "CC_NATS="+clients[i], "CC_CLUSTER_NAME="+name, "CC_CLUSTER_LISTEN="+routes[i],
			"CC_CLUSTER_ROUTES="+strings.Join(to, ","), "CC_CLUSTER_ADVERTISE=127.0.0.1:1")
	}
	at := "NATS_URL=" + strings.Join(urls, ",")
	f.add("postgres", []string{"serve", "postgres"})
	f.start("postgres")()
	var ready []func()
	for _, name := range members {
		ready = append(ready, f.start(name))
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	migrate := exec.Command(bin, "migrate", "--json", "--data-dir", f.dir, "--log-level", "warn") //nolint:noctx // it ends by itself
	migrate.Env = append(os.Environ(), at, "CC_NATS_REPLICAS=3", "CC_FEDERATION_SLUG=fleet")
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s\n%s", err, out, f.log)
	}
	for i, name := range []string{"services-1", "services-2"} {
		f.add(name, []string{"serve", "auth", "knowledge", "ingestion", "research", "jobs", "federation"}, at, "CC_HTTP="+http[i], "CC_FEDERATION_SLUG=fleet")
		ready = append(ready, f.start(name))
	}
	for i, name := range []string{"gateway-1", "gateway-2"} {
		f.add(name, []string{"serve", "gateway"}, at, "CC_HTTP="+http[i])
		ready = append(ready, f.start(name))
		f.urls = append(f.urls, "http://"+http[i])
	}
	for _, wait := range ready {
		wait()
	}
	return f
}

func (f *fleet) add(name string, args []string, env ...string) {
	f.parts[name] = &process{name: name, args: append(args, "--json", "--data-dir", f.dir, "--log-level", "warn"), env: append(env, "CC_SUPERVISED=1")}
	f.t.Cleanup(func() { f.end(name) })
}

// start starts a process; what it returns waits until it can be used.
func (f *fleet) start(name string) (ready func()) {
	f.t.Helper()
	bin, err := binary()
	if err != nil {
		f.t.Fatal(err)
	}
	p := f.parts[name]
	p.cmd, p.done = exec.Command(bin, p.args...), make(chan struct{}) //nolint:noctx // killed by its own means
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), p.env...), prefixed{f.log, name}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	said, cmd, done := make(chan struct{}), p.cmd, p.done
	go func() {
		defer close(done)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			var e struct{ Event string }
			if json.Unmarshal(sc.Bytes(), &e) == nil && e.Event == "ready" {
				close(said)
			}
		}
		_ = cmd.Wait() // it is killed in the end
	}()
	return func() {
		f.t.Helper()
		select {
		case <-said:
		case <-done:
			f.t.Fatalf("%s ended before it was ready:\n%s", name, f.log)
		case <-time.After(patience):
			f.t.Fatalf("%s is not ready:\n%s", name, f.log)
		}
	}
}

// kill ends a process without a word, and waits for the end.
func (f *fleet) kill(name string) {
	p := f.parts[name]
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.done
	_ = p.in.Close() // likewise
	p.cmd = nil
}

// end lets a process end in order, as far as it does.
func (f *fleet) end(name string) {
	p := f.parts[name]
	if p.cmd == nil {
		return
	}
	_ = p.in.Close() // it ends with it
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		f.kill(name)
	}
}

// cut takes a NATS server off the network; mend puts it back.
func (f *fleet) cut(member string) {
	f.ports[member].cut()
	f.part(member)
}

func (f *fleet) mend(member string) {
	f.ports[member].mend()
	f.join(member)
}

// part cuts a NATS server from the others and from nobody else; join undoes it.
func (f *fleet) part(member string) {
	for between, l := range f.ways {
		if slices.Contains(strings.Fields(between), member) {
			l.cut()
		}
	}
}

func (f *fleet) join(member string) {
	for between, l := range f.ways {
		if slices.Contains(strings.Fields(between), member) {
			l.mend()
		}
	}
}

// prefixed writes to a log with a name before each piece.
type prefixed struct {
	to   io.Writer
	name string
}

func (p prefixed) Write(b []byte) (int, error) {
	_, err := p.to.Write(append([]byte("["+p.name+"] "), b...))
	return len(b), err
}
