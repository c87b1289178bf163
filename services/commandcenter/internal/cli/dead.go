package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

func (e *env) busDead() *cobra.Command {
	return group(&cobra.Command{
		Use:     "dead",
		Short:   "Messages that were given up: list, show, redrive, discard",
		Example: "  commandcenter bus dead list\n  commandcenter bus dead show 17\n  commandcenter bus dead redrive 17",
	}, e.deadList(), e.deadShow(), e.deadDo("redrive", "Have one tried again by what gave it up", (*bus.Bus).Redrive), e.deadDo("discard", "Remove one for good", (*bus.Bus).Discard))
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
		Example: "  commandcenter bus dead show 17 | jq .error",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withLetter(cmd.Context(), args[0], func(ctx context.Context, b *bus.Bus, seq uint64) error {
				d, err := b.DeadLetter(ctx, seq)
				if err != nil {
					return err
				}
				e.print(e.Out, readLetter(*d, true))
				return nil
			})
		},
	}, append(slices.Clone(codesBus), exitNotFound)...)
}

func (e *env) deadDo(verb, short string, do func(b *bus.Bus, ctx context.Context, seq uint64) error) *cobra.Command {
	return ends(&cobra.Command{
		Use: verb + " SEQ", Short: short, Args: nargs(1, 1),
		Example: "  commandcenter bus dead " + verb + " 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withLetter(cmd.Context(), args[0], func(ctx context.Context, b *bus.Bus, seq uint64) error {
				if err := do(b, ctx, seq); err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, map[string]any{"seq": seq, "done": verb})
					return nil
				}
				e.line("Dead letter %d: %s done.", seq, verb)
				return nil
			})
		},
	}, append(slices.Clone(codesBus), exitNotFound)...)
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
