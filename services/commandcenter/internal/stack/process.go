package stack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one run of a role.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer // the process ends with it
	ready  chan Ready
	exited chan struct{}
	err    error // of the exit, after exited

	mu   sync.Mutex
	tail []string // of what it wrote to standard error
}

// launch starts the process of the role, in the place of one that has died or as
// the first.
func (c *child) launch(died error) (*process, error) {
	settings := c.settings
	if c.listens != "" && c.addr != "" {
		settings = append(slices.Clone(settings), c.listens+"="+c.addr)
	}
	cmd := c.split.Command(c.role, settings...)
	p := &process{cmd: cmd, ready: make(chan Ready, 1), exited: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	// Our own pipes: Wait must not close them before the last line is read.
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), outW.Close())
	}
	cmd.Stdout, cmd.Stderr = outW, errW
	err = cmd.Start()
	closed := errors.Join(outW.Close(), errW.Close())
	if err := errors.Join(err, closed); err != nil {
		return nil, errors.Join(err, outR.Close(), errR.Close())
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(outR, p.answer) })
	reading.Go(func() { p.read(errR, func(line string) { c.split.log(c.name, p, line) }) })
	go func() {
		err := cmd.Wait()
		reading.Wait()
		p.err = err
		if err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.exited)
	}()
	if c.split.Started != nil {
		c.split.Started(c.name, cmd.Process.Pid, died)
	}
	return p, nil
}

func (p *process) read(r io.ReadCloser, each func(line string)) {
	defer r.Close() // only read
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			each(line)
		}
		if err != nil {
			return
		}
	}
}

func (p *process) answer(line string) {
	var r Ready
	if json.Unmarshal([]byte(line), &r) == nil && r.Event == EventReady {
		select {
		case p.ready <- r:
		default:
		}
	}
}

// log writes a line of a process, and remembers the last ones.
func (s *Split) log(name string, p *process, line string) {
	p.mu.Lock()
	p.tail = append(p.tail, line)
	p.tail = p.tail[max(0, len(p.tail)-5):]
	p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Nobody is left to tell when the log cannot be written.
	_, _ = fmt.Fprintf(s.Logs, "[%s] %s\n", name, line)
}

// reason is why the process ended, with what it said last.
func (p *process) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.tail) - 1; i >= 0; i-- {
		var said struct {
			Error string `json:"error"`
		}
		if json.Unmarshal([]byte(p.tail[i]), &said) == nil && said.Error != "" {
			return fmt.Errorf("%w: %s", p.err, said.Error)
		}
	}
	return p.err
}

// end asks the process to stop and waits; after within it is killed.
func (p *process) end(ctx context.Context, within time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	t := time.NewTimer(max(within, 0))
	defer t.Stop()
	select {
	case <-p.exited:
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return errors.Join(errors.New("did not stop in time and was killed"), err, p.stdin.Close())
}
