package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// reconciled is one service as it is printed.
type reconciled struct {
	Service string     `json:"service"`
	Kept    int        `json:"kept"`
	Said    int        `json:"said"`
	Missing int        `json:"missing"`
	Oldest  *time.Time `json:"oldest_missing"`
	Queued  bool       `json:"queued"`
}

func (e *env) busReconcile() *cobra.Command {
	var look bool
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Find facts that the stream EVENTS lacks, and publish them again",
		Long: `Compares what each service has said, by its database, with what the stream EVENTS
holds, fact by fact. What is missing, and is not older than what the stream keeps,
is put back into the queue of its service, which publishes it as soon as it runs.
Consumers that have heard a fact do nothing when it comes again. It may run while
everything else does, and is of use after a disk was replaced or a stream restored.`,
		Example: "  commandcenter bus reconcile --dry-run\n  commandcenter bus reconcile --json | jq '.[] | select(.missing > 0)'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.reconcile(cmd.Context(), look)
		},
	}
	c.Flags().BoolVar(&look, "dry-run", false, "only look")
	e.bind(c, false, "database_url")
	return ends(c, codesBus...)
}

func (e *env) reconcile(ctx context.Context, look bool) error {
	b, err := e.adminBus(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := e.offline()
	if err != nil {
		return err
	}
	d := &deed{operation: "reconcileEvents"}
	var found []stack.Reconciled
	run := func() (err error) {
		found, err = stack.Reconcile(ctx, s, b.JetStream(), look)
		for _, f := range found {
			if f.Queued {
				d.on(f.Service, strconv.Itoa(f.Missing))
			}
		}
		return err
	}
	if look {
		err = run()
	} else {
		err = e.recorded(ctx, b, d, run)
	}
	if err != nil {
		return err
	}
	out := make([]reconciled, 0, len(found))
	missing := 0
	for _, f := range found {
		r := reconciled{Service: f.Service, Kept: f.Kept, Said: f.Rows, Missing: f.Missing, Queued: f.Queued}
		if !f.Oldest.IsZero() {
			r.Oldest = &f.Oldest
		}
		missing += f.Missing
		out = append(out, r)
	}
	if e.json {
		e.print(e.Out, out)
		return nil
	}
	t := newTable(e.Out, "SERVICE", "IN THE STREAM", "SAID", "MISSING", "OLDEST MISSING")
	for _, r := range out {
		oldest := "-"
		if r.Oldest != nil {
			oldest = r.Oldest.Local().Format(time.DateTime)
		}
		t.row(r.Service, strconv.Itoa(r.Kept), strconv.Itoa(r.Said), strconv.Itoa(r.Missing), oldest)
	}
	if err := t.flush(); err != nil {
		return err
	}
	switch {
	case missing == 0:
		e.say("%s lacks nothing that it should have.", bus.StreamEvents)
	case look:
		e.say("Without --dry-run they are published again.")
	default:
		e.say("They are published again as soon as their services run.")
	}
	return nil
}

// offline is what a command needs that looks into the database and runs nothing.
func (e *env) offline() (*stack.Env, error) {
	d := datadir.At(e.cfg.DataDir)
	// Only a start makes it: one that was made here would fit no database.
	if _, err := os.Stat(filepath.Join(d.Keys(), "secret")); err != nil {
		return nil, codedError{fmt.Errorf("no secret of an instance: %w; name the data directory of the instance with --data-dir", err), exitAuth}
	}
	secret, err := d.Secret()
	if err != nil {
		return nil, codedError{err, exitAuth}
	}
	return &stack.Env{Config: e.cfg, Dir: d, Secret: secret, Log: obs.Discard(), Registry: obs.Registry()}, nil
}
