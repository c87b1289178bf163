package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/rotate"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

// process is what every command that runs a server has: the data directory,
// locked and checked, a log, traces. Its closers run in reverse.
type process struct {
	*stack.Env
	service string // its name in logs and traces
	began   time.Time
	logFile string // "" when the log goes to standard error
	logs    io.Writer
	closers []func() error
}

// open prepares the process.
func (e *env) open(ctx context.Context, service string, locks ...string) (*process, error) {
	p := &process{Env: &stack.Env{Config: e.cfg, Version: version.Product, Wait: e.wait}, service: service, began: time.Now()}
	p.Waiting = func(w stack.Waiting) { e.waiting(p, w) }
	if err := p.prepare(ctx, e, service, locks); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// waitFlag declares how long the command waits for what others run.
func waitFlag(c *cobra.Command, d time.Duration) {
	c.Flags().Duration("wait", d, "how long to wait for servers and parts that others run")
}

// waiting tells a person what is waited for; the log has it too.
func (e *env) waiting(p *process, w stack.Waiting) {
	if e.json || p.logFile == "" && p.service != "up" && p.service != "migrate" {
		return
	}
	why := ""
	if w.Why != nil {
		why = ": " + obs.RedactText(oneLine(w.Why.Error()))
	}
	e.say("  %s waiting for %s, up to %s more%s", e.paint(e.Err, yellow, "…"), w.For, w.Left, why)
}

func (p *process) prepare(ctx context.Context, e *env, service string, locks []string) error {
	var err error
	if p.Dir, err = datadir.Open(e.cfg.DataDir); err != nil {
		return err
	}
	if err := p.lock(ctx, e, locks); err != nil {
		return err
	}
	if err := p.Dir.Stamp(); err != nil {
		return err
	}
	if p.Secret, err = p.Dir.Secret(); err != nil {
		return err
	}
	if p.Log, err = p.logger(e, service); err != nil {
		return err
	}
	slog.SetDefault(p.Log) // of libraries that know no other
	shutdown, err := obs.SetupTracing(ctx, service, e.cfg.OTLP)
	if err != nil {
		return usageError{err}
	}
	p.closers = append(p.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		return shutdown(ctx)
	})
	p.Registry = obs.Registry()
	return nil
}

// lockWait is how long is waited for a part whose parent was killed: it is
// about to end.
const lockWait = 15 * time.Second

// lock takes the locks. The one of the instance is taken or not; those of the
// parts are waited for a moment.
func (p *process) lock(ctx context.Context, e *env, names []string) error {
	if len(names) == 0 {
		return nil
	}
	began, said := time.Now(), false
	for {
		l, err := p.Dir.Lock(names...)
		if err == nil {
			p.closers = append(p.closers, l.Release)
			return nil
		}
		var inUse *datadir.InUseError
		if !errors.As(err, &inUse) || inUse.Lock == datadir.LockInstance || time.Since(began) > lockWait || p.Dir.Holder() != 0 {
			return err
		}
		if !said && time.Since(began) > time.Second {
			said = true
			e.say("Process %d holds %s: waiting up to %s for it to end.", inUse.PID, filepath.Join(inUse.Dir, inUse.Lock), lockWait)
		}
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

// logger writes to standard error, or to a file when a person is watching.
func (p *process) logger(e *env, service string) (*slog.Logger, error) {
	format := e.cfg.Log.Format
	w := e.Err
	if format == settings.FormatAuto {
		format = obs.FormatJSON
		if terminal(e.Err) {
			p.logFile = filepath.Join(p.Dir.Logs(), "commandcenter.log")
			f, err := rotate.Open(p.logFile, 10<<20, 5)
			if err != nil {
				return nil, fmt.Errorf("log: %w", err)
			}
			p.closers = append(p.closers, f.Close)
			w = f
		}
	}
	p.logs = w
	log := obs.NewLogger(w, e.cfg.Log.Level, format)
	log.Info("process.start", "command", service, "version", version.Product, "pid", os.Getpid(), "data_dir", p.Dir.Path())
	return log, nil
}

func (p *process) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	p.closers = nil
	return errors.Join(errs...)
}

// finish closes the process after run, and makes of its result what the
// command ends with: to be asked to stop is no failure of a server.
func (p *process) finish(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, app.ErrSignal)) {
		err = nil
	}
	if err != nil {
		p.Log.Error("process.failed", "err", err)
	}
	p.Log.Info("process.stopped", "ms", time.Since(p.began).Milliseconds())
	if err = errors.Join(err, p.close()); err != nil && p.logFile != "" {
		return fmt.Errorf("%w; the log is %s", err, p.logFile)
	}
	return err
}

// free fails when something listens at the address already.
func free(ctx context.Context, addr, flag, variable string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		return ln.Close()
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("address %s is taken: stop the program that listens there, or choose another with %s or %s", addr, flag, variable)
	case errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("address %s needs more rights: choose a port above 1023 with %s or %s", addr, flag, variable)
	default:
		return usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	return codedError{err, exitInUse}
}
