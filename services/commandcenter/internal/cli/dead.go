package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func (e *env) busDead() *cobra.Command {
	return group(&cobra.Command{
		Use:     "dead",
		Short:   "Messages that were given up: list, show, redrive, discard, purge",
		Example: "  commandcenter bus dead list\n  commandcenter bus dead show 17\n  commandcenter bus dead redrive 17",
	}, e.deadList(), e.deadShow(), e.deadDo("redrive", "Have one tried again by what gave it up", "is handled or on its way", (*bus.Bus).Redrive),
		e.deadDo("discard", "Remove one for good", "is removed", (*bus.Bus).Discard), e.deadPurge())
}

// letter is a dead letter as it is printed.
type letter struct {
	Seq      uint64              `json:"seq"`
	Service  string              `json:"service"`
	Consumer string              `json:"consumer"`
	Subject  string              `json:"subject"`
	Attempts int                 `json:"attempts"`
	Error    string              `json:"error"`
	StoredAt time.Time           `json:"stored_at"`
	DiedAt   time.Time           `json:"died_at"`
	Headers  map[string][]string `json:"headers,omitempty"`
	Data     string              `json:"data,omitempty"`
}

func readLetter(d bus.DeadLetter, whole bool) letter {
	l := letter{Seq: d.Seq, Service: d.Service, Consumer: d.Consumer, Subject: d.Subject, Attempts: d.Attempts, Error: d.Error, StoredAt: d.StoredAt, DiedAt: d.DiedAt}
	if whole {
		l.Headers, l.Data = d.Header, string(d.Data)
	}
	return l
}

func (e *env) deadList() *cobra.Command {
	var f bus.DeadFilter
	c := &cobra.Command{
		Use: "list", Short: "Dead letters, oldest first", Args: nargs(0, 0),
		Example: "  commandcenter bus dead list\n  commandcenter bus dead list --service knowledge --json | jq '.[].seq'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withBus(cmd.Context(), func(ctx context.Context, b *bus.Bus) error {
				found, err := b.DeadLetters(ctx, f)
				if err != nil {
					return err
				}
				letters := make([]letter, 0, len(found))
				for _, d := range found {
					letters = append(letters, readLetter(d, false))
				}
				if e.json {
					e.print(e.Out, letters)
					return nil
				}
				if len(letters) == 0 {
					e.say("No dead letters.")
					return nil
				}
				t := newTable(e.Out, "SEQ", "GIVEN UP", "BY", "TRIES", "SUBJECT", "ERROR")
				for _, l := range letters {
					t.row(strconv.FormatUint(l.Seq, 10), l.DiedAt.Local().Format(time.DateTime), l.Service, strconv.Itoa(l.Attempts), l.Subject, l.Error)
				}
				return t.flush()
			})
		},
	}
	c.Flags().StringVar(&f.Service, "service", "", "only those that this service gave up")
	c.Flags().IntVarP(&f.Limit, "limit", "n", 100, "most letters")
	c.Flags().Uint64Var(&f.After, "after", 0, "go on after this one")
	return ends(c, codesBus...)
}

func (e *env) deadShow() *cobra.Command {
	return ends(&cobra.Command{
		Use: "show SEQ", Short: "One dead letter with everything in it", Args: nargs(1, 1),
		Example: "  commandcenter bus dead show 17\n  commandcenter bus dead show 17 --json | jq .error",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withLetter(cmd.Context(), args[0], func(ctx context.Context, b *bus.Bus, seq uint64) error {
				d, err := b.DeadLetter(ctx, seq)
				if err != nil {
					return err
				}
				if l := readLetter(*d, true); e.json {
					e.print(e.Out, l)
				} else {
					e.printLetter(l)
				}
				return nil
			})
		},
	}, append(slices.Clone(codesBus), exitNotFound)...)
}

func (e *env) printLetter(l letter) {
	e.line("%s", e.paint(e.Out, bold, oneLine(l.Subject)))
	row := func(label, text string) {
		for line := range strings.Lines(text) {
			e.line("  %-9s %s", label, oneLine(strings.TrimSuffix(line, "\n")))
			label = ""
		}
	}
	row("given up", fmt.Sprintf("%s by %s (%s), tried %s", l.DiedAt.Local().Format(time.DateTime), l.Service, l.Consumer, times(l.Attempts)))
	row("stored", l.StoredAt.Local().Format(time.DateTime))
	row("error", l.Error)
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		row("header", name+": "+strings.Join(l.Headers[name], ", "))
	}
	row("data", l.Data)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

func (e *env) deadDo(verb, short, done string, do func(b *bus.Bus, ctx context.Context, seq uint64) error) *cobra.Command {
	return ends(&cobra.Command{
		Use: verb + " SEQ", Short: short, Args: nargs(1, 1),
		Example: "  commandcenter bus dead " + verb + " 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withLetter(cmd.Context(), args[0], func(ctx context.Context, b *bus.Bus, seq uint64) error {
				d := &deed{operation: verb + "DeadLetter"}
				d.on("seq", args[0])
				if l, err := b.DeadLetter(ctx, seq); err == nil { // of whose project it is; one that is gone is refused below
					d.project = l.Project
					d.on("subject", l.Subject)
				}
				if err := e.recorded(ctx, b, d, func() error { return do(b, ctx, seq) }); err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, map[string]any{"seq": seq, "done": verb})
					return nil
				}
				e.line("Dead letter %d %s.", seq, done)
				return nil
			})
		},
	}, append(slices.Clone(codesBus), exitNotFound)...)
}

func (e *env) deadPurge() *cobra.Command {
	var f bus.DeadFilter
	var project int64
	var all bool
	c := &cobra.Command{
		Use: "purge", Short: "Remove many for good",
		Long: `Removes the dead letters of a service, of a project, or all. Those that the audit
log is made of stay: redrive them.`,
		Example: "  commandcenter bus dead purge --service ingestion --project 42\n  commandcenter bus dead purge --all",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if project > 0 {
				p := tenant.Project(project)
				f.Project = &p
			}
			if !all && f.Service == "" && f.Project == nil {
				return usageError{errors.New("say whose: --service, --project or --all")}
			}
			return e.withBus(cmd.Context(), func(ctx context.Context, b *bus.Bus) error {
				d := &deed{operation: "purgeDeadLetters", project: tenant.Project(project)}
				if f.Service != "" {
					d.on("service", f.Service)
				}
				var gone, kept int
				err := e.recorded(ctx, b, d, func() (err error) {
					gone, kept, err = purge(ctx, b, f)
					d.on("removed", strconv.Itoa(gone))
					return err
				})
				if err != nil {
					return fmt.Errorf("after %s: %w", count(gone, "letter"), err)
				}
				if e.json {
					e.print(e.Out, map[string]any{"removed": gone, "kept": kept})
					return nil
				}
				e.line("Removed %s.", count(gone, "letter"))
				if kept > 0 {
					e.say("%s of the audit log stayed: redrive them.", count(kept, "record"))
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&f.Service, "service", "", "only those that this service gave up")
	c.Flags().Int64Var(&project, "project", 0, "only those of this project")
	c.Flags().BoolVar(&all, "all", false, "all of the instance")
	c.MarkFlagsMutuallyExclusive("all", "service")
	c.MarkFlagsMutuallyExclusive("all", "project")
	return ends(c, codesBus...)
}

// purge removes what the filter matches, apart from records of the audit log.
func purge(ctx context.Context, b *bus.Bus, f bus.DeadFilter) (gone, kept int, err error) {
	f.Limit = 1000
	for {
		found, err := b.DeadLetters(ctx, f)
		if err != nil || len(found) == 0 {
			return gone, kept, err
		}
		for _, d := range found {
			f.After = d.Seq
			if strings.HasSuffix(d.Subject, ".call.recorded.v1") && strings.HasPrefix(d.Subject, "evt.") {
				kept++
				continue
			}
			if err := b.Discard(ctx, d.Seq); err != nil && errs.KindOf(err) != errs.NotFound {
				return gone, kept, err
			}
			gone++
		}
	}
}

func (e *env) withLetter(ctx context.Context, arg string, fn func(ctx context.Context, b *bus.Bus, seq uint64) error) error {
	seq, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return usageError{fmt.Errorf("dead letter %q: want a number, see `commandcenter bus dead list`", arg)}
	}
	return e.withBus(ctx, func(ctx context.Context, b *bus.Bus) error { return fn(ctx, b, seq) })
}

func (e *env) withBus(ctx context.Context, fn func(ctx context.Context, b *bus.Bus) error) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	b, err := e.adminBus(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := fn(ctx, b); errs.KindOf(err) == errs.NotFound {
		return codedError{err, exitNotFound}
	} else if err != nil {
		return err
	}
	return nil
}
