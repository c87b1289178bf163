package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// space is a network namespace: a machine of its own, as far as the network
// goes.
type space struct {
	t    *testing.T
	name string
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

// spaces makes two that a cable joins, and nothing else.
func spaces(t *testing.T) (a, b space) {
	t.Helper()
	if os.Getenv("CC_TEST_NAMESPACES") == "" {
		t.Skip("CC_TEST_NAMESPACES is not set: `make namespaces`")
	}
	a, b = space{t, fmt.Sprintf("cc-north-%d", os.Getpid())}, space{t, fmt.Sprintf("cc-south-%d", os.Getpid())}
	for _, s := range []space{a, b} {
		ip(t, "netns", "add", s.name)
		t.Cleanup(func() {
			if out, err := exec.Command("ip", "netns", "del", s.name).CombinedOutput(); err != nil { // the test's context is over
				t.Errorf("%v: %s", err, out)
			}
		})
		ip(t, "-n", s.name, "link", "set", "lo", "up")
	}
	ip(t, "-n", a.name, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b.name)
	for s, address := range map[space]string{a: "10.213.0.1/30", b: "10.213.0.2/30"} {
		ip(t, "-n", s.name, "address", "add", address, "dev", "cable")
		ip(t, "-n", s.name, "link", "set", "cable", "up")
	}
	return a, b
}

func (s space) command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", s.name}, args...)...) // each ends by itself or is stopped
}

// start starts an instance in it.
func (s space) start(slug, hub string) *product {
	s.t.Helper()
	bin, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	file, dir := filepath.Join(s.t.TempDir(), "config.yaml"), dataDir(s.t)
	if err := os.WriteFile(file, fmt.Appendf(nil, "federation:\n  slug: %s\n  interval: 1s\nhub:\n%s", slug, hub), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return launched(s.t, dir, s.command(append([]string{bin}, upArgs(dir, "--config", file, "--no-sample")...)...))
}

// knows waits until the instance lists the other as online.
func (s space) knows(p *product, slug string) {
	s.t.Helper()
	bin, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	var out []byte
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var list struct {
			Instances []struct {
				Slug string `json:"slug"`
			} `json:"instances"`
		}
		out, err = s.command(bin, "--data-dir", p.dir, "federation", "status", "--status", "online", "--json").Output()
		if err == nil && json.Unmarshal(out, &list) == nil {
			for _, i := range list.Instances {
				if i.Slug == slug {
					return
				}
			}
		}
	}
	s.t.Fatalf("%s is not known: %s %v\n%s", slug, out, err, p.log)
}

// Dial dials from inside.
func (s space) Dial(network, address string) (net.Conn, error) {
	type end struct {
		c   net.Conn
		err error
	}
	got := make(chan end, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		f, err := os.Open("/var/run/netns/" + s.name)
		if err != nil {
			got <- end{err: err}
			return
		}
		defer f.Close() // it was only read
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			got <- end{err: err}
			return
		}
		c, err := net.DialTimeout(network, address, patience)
		got <- end{c, err}
	}()
	e := <-got
	return e.c, e.err
}

// hub is a connection that may do everything in the account of the instances.
func (s space) hub(p *product) *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(p.nats, nats.UserCredentials(filepath.Join(p.dir, "keys", natsd.UserHubAdmin+".creds")), nats.SetCustomDialer(s), nats.NoEcho())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// listening lists the addresses that can be reached from other machines, as the
// kernel writes them.
func (s space) listening() (open []string) {
	s.t.Helper()
	out, err := s.command("cat", "/proc/net/tcp", "/proc/net/tcp6").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if w := strings.Fields(line); len(w) > 3 && w[3] == "0A" && !strings.HasPrefix(w[1], "0100007F:") && !strings.HasPrefix(w[1], "00000000000000000000000001000000:") {
			open = append(open, w[1])
		}
	}
	return open
}

func TestTwoMachinesShareNothingButWhatTheHubLetsThrough(t *testing.T) {
	t.Parallel()
	a, b := spaces(t)
	north := a.start("north", "  plain: true\n  listen: 10.213.0.1:7422\n")
	south := b.start("south", fmt.Sprintf("  plain: true\n  join: [\"leaf://10.213.0.1:7422 %s\"]\n", filepath.Join(north.dir, "keys", "neighbour.creds")))
	a.knows(north, "south")
	b.knows(south, "north")

	if got := a.listening(); !slices.Equal(got, []string{"0100D50A:1CFE"}) { // 10.213.0.1:7422
		t.Errorf("north can be reached at %v", got)
	}
	if got := b.listening(); len(got) != 0 {
		t.Errorf("south can be reached at %v", got)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(north.nats, "nats://"), ":")
	if c, err := b.Dial("tcp", "10.213.0.1:"+port); err == nil {
		t.Errorf("NATS of north answers: %v", errors.Join(c.Close()))
	}

	foreign := []string{"evt.p1.knowledge.document.indexed.v1", "cmd.p1.knowledge.deleteDocument", "req.p1.auth.login", "_INBOX.x", "$JS.API.STREAM.LIST", "hub.other", "hub", "x"}
	for name, way := range map[string][2]*nats.Conn{"to the north": {b.hub(south), a.hub(north)}, "to the south": {a.hub(north), b.hub(south)}} {
		from, to := way[0], way[1]
		sub, err := to.SubscribeSync(">")
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Flush(); err != nil {
			t.Fatal(err)
		}
		const marker = "hub.presence.marker"
		seen := map[string]bool{}
		for !seen[marker] { // the interest in it is on its way at first
			for _, subject := range append(slices.Clone(foreign), marker) {
				if err := from.Publish(subject, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			for {
				m, err := sub.NextMsg(time.Second)
				if errors.Is(err, nats.ErrTimeout) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if seen[m.Subject] = true; m.Subject == marker {
					break
				}
			}
		}
		for _, subject := range foreign {
			if seen[subject] {
				t.Errorf("%s: %s came through", name, subject)
			}
		}
		t.Logf("%s came: %v", name, seen)
	}
}
