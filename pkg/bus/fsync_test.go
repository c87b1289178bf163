package bus_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// serverDir tells a copy of the test's program that it is a server.
const serverDir = "BUS_TEST_SERVER_DIR"

// TestAServerOfItsOwn is the body of such a copy, and nothing otherwise.
func TestAServerOfItsOwn(t *testing.T) { //nolint:paralleltest // it is alone in its process
	dir := os.Getenv(serverDir)
	if dir == "" {
		t.Skip("it is for another test, which runs it as a process")
	}
	s, err := natsd.Start(t.Context(), natsd.Config{Dir: dir, Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("serving %s\n", s.ClientURL()) //nolint:forbidigo // to the process that started it
	_, _ = io.Copy(io.Discard, os.Stdin)      // until that closes it
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// synced counts the calls of fsync and fdatasync on the messages of a stream.
func synced(t *testing.T, trace, stream string) (n int) {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "sync(") && strings.Contains(line, "/"+stream+"/msgs/") {
			n++
		}
	}
	return n
}

func TestEveryCommandIsOnTheDiskBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("system calls are counted by strace, which is not installed here")
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	server := exec.CommandContext(context.WithoutCancel(t.Context()), strace, "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", trace, //nolint:gosec // G204: our own program
		os.Args[0], "-test.run", "^TestAServerOfItsOwn$", "-test.v")
	server.Env = append(os.Environ(), serverDir+"="+dir)
	stdin, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Skipf("strace does not start: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := server.Wait(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	url := ""
	out := bufio.NewScanner(stdout)
	for url == "" && out.Scan() {
		_, url, _ = strings.Cut(out.Text(), "serving ")
	}
	if url == "" {
		t.Skip("strace may not trace here")
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	nc, err := nats.Connect(url, nats.UserCredentials(filepath.Join(dir, "keys", natsd.UserAdmin+".creds")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := bus.Provision(t.Context(), nc, bus.Specs{Services: []string{"auth"}, AsyncEvents: true}); err != nil {
		t.Fatal(err)
	}
	js := jetStream(t, nc)
	const many = 50
	publish := func(subject string) {
		for range many {
			if _, err := js.Publish(t.Context(), subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The trace is written a moment later, in order: what belongs to EVENTS is
	// there when what came after it is.
	events := synced(t, trace, bus.StreamEvents)
	publish("evt.p42.auth.x")
	for _, c := range []struct{ stream, subject string }{
		{bus.StreamCommands, "cmd.p42.auth.count"}, {bus.StreamDead, "dead.auth.x"}, {bus.StreamBodies, "body.auth.x.0"},
	} {
		before := synced(t, trace, c.stream)
		publish(c.subject)
		eventually(t, func() bool { return synced(t, trace, c.stream)-before >= many })
		t.Logf("%s: %d messages, %d fsyncs", c.stream, many, synced(t, trace, c.stream)-before)
	}
	if n := synced(t, trace, bus.StreamEvents) - events; n >= many {
		t.Errorf("EVENTS: %d calls for %d messages, though it can be published again from rows", n, many)
	}
}
