package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// sealed is how much one key seals, as it is printed.
type sealed struct {
	Service    string `json:"service"`
	Column     string `json:"column"`
	Key        string `json:"key"`
	Primary    bool   `json:"primary"`
	Values     int    `json:"values"`
	Unreadable int    `json:"unreadable"`
}

func (e *env) secretsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "The secrets that the database holds, and the keys that seal them",
		Long: `Secrets in the database are sealed: each with a data key of its own, and that with
the primary key of a ring, which is a file of the data directory (keys/sealing.json)
or comes from the settings secrets.*. Who loses the ring loses the secrets.`,
		Example: "  commandcenter secrets status\n  commandcenter secrets rotate",
	}
	status := &cobra.Command{
		Use: "status", Short: "Open every sealed value, and count them by key",
		Long: `Opens every sealed value of every service where it lies, and counts them by the key
that seals them. It prints none. The exit code is 7 when some do not open.`,
		Example: "  commandcenter secrets status --json | jq '.[] | select(.primary | not)'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.secrets(cmd.Context(), stack.SurveySecrets)
		},
	}
	var only, announce bool
	rotate := &cobra.Command{
		Use: "rotate", Short: "Seal every secret under a new key, while everything runs",
		Long: `Adds a key to the ring, makes it the one that seals, and seals the data key of every
value anew. The services go on meanwhile: they read the ring again when they seal,
and when they meet a key that they do not know. The key of before stays in the ring
until the next rotation, for what was sealed while this ran; older keys that nothing
is sealed with are removed. The instance's audit log tells who did it, of which key
and of how many values (audit list --instance --operation rotateSecrets).

Where processes have copies of the ring, begin with --announce, which adds the key
and does not use it; give all of them the new file; then run this without it. Where
the ring is a setting, change that everywhere and run this with --rewrap-only.`,
		Example: "  commandcenter secrets rotate\n  commandcenter secrets rotate --announce",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.secrets(cmd.Context(), func(ctx context.Context, s *stack.Env) ([]stack.Sealed, error) {
				began := time.Now()
				how, run := "rotate", func() ([]stack.Sealed, error) { return stack.RotateSecrets(ctx, s, only) }
				switch {
				case announce:
					how, run = "announce", func() ([]stack.Sealed, error) {
						if err := stack.AnnounceKey(s); err != nil {
							return nil, err
						}
						return stack.SurveySecrets(ctx, s)
					}
				case only:
					how = "rewrap"
				}
				found, err := run()
				e.tellRotation(ctx, s, how, began, found, err)
				if errors.Is(err, stack.ErrKeysGiven) {
					err = codedError{err, exitRefused}
				}
				return found, err
			})
		},
	}
	rotate.Flags().BoolVar(&only, "rewrap-only", false, "make no new key, only seal under the primary one of the ring")
	rotate.Flags().BoolVar(&announce, "announce", false, "add the next key, and do not use it yet")
	rotate.MarkFlagsMutuallyExclusive("rewrap-only", "announce")
	for _, sub := range []*cobra.Command{status, rotate} {
		e.bind(sub, false, "database_url")
		c.AddCommand(ends(sub, append(slices.Clone(codesBus), exitPartly, exitRefused)...))
	}
	return c
}

// tellRotation tells the instance's audit log who has rotated the sealing keys, to
// which key, and how many values are sealed with it.
func (e *env) tellRotation(ctx context.Context, s *stack.Env, how string, began time.Time, found []stack.Sealed, failure error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	d := deed{}
	d.on("step", how)
	if primary, values, ok := sealedAnew(found); ok && failure == nil {
		d.on("key", fmt.Sprintf("%08x", primary))
		d.on("values", strconv.Itoa(values))
	}
	m := &platformv1.CallRecorded{
		CallId: uuid.NewString(), Version: 1, Operation: "rotateSecrets", Principal: bus.Clean(operator()), Target: d.target,
		Status: http.StatusOK, AcceptedAt: timestamppb.New(began), Count: 1,
	}
	if failure != nil {
		m.Status, m.Reason = 0, reasonOf(failure)
	}
	if err := stack.Record(ctx, s, m); err != nil {
		e.say("This is not in the audit log: %v", err)
	}
}

// sealedAnew is the primary key, and how many values it seals; without a value
// nobody says which that is.
func sealedAnew(found []stack.Sealed) (key uint32, values int, ok bool) {
	for _, f := range found {
		if f.Primary {
			key, values, ok = f.Key, values+f.Values, true
		}
	}
	return key, values, ok
}

func (e *env) secrets(ctx context.Context, run func(context.Context, *stack.Env) ([]stack.Sealed, error)) error {
	s, err := e.offline()
	if err != nil {
		return err
	}
	found, err := run(ctx, s)
	if err != nil {
		return err
	}
	out, unreadable := make([]sealed, 0, len(found)), 0
	for _, f := range found {
		out = append(out, sealed{f.Service, f.Table + "." + f.Column, fmt.Sprintf("%08x", f.Key), f.Primary, f.Values, f.Unreadable})
		unreadable += f.Unreadable
	}
	if err := e.printSealed(out); err != nil {
		return err
	}
	if unreadable > 0 {
		return partlyError{fmt.Errorf("%s cannot be opened: restore the ring that belongs to this database, or enter these secrets again", count(unreadable, "value"))}
	}
	return nil
}

func (e *env) printSealed(out []sealed) error {
	if e.json {
		e.print(e.Out, out)
		return nil
	}
	t := newTable(e.Out, "SERVICE", "COLUMN", "KEY", "VALUES", "UNREADABLE")
	for _, s := range out {
		key := s.Key
		if s.Primary {
			key += " (primary)"
		}
		t.row(s.Service, s.Column, key, strconv.Itoa(s.Values), strconv.Itoa(s.Unreadable))
	}
	return t.flush()
}

// checkSecrets is a finding of doctor: whether what is sealed opens.
func (e *env) checkSecrets(ctx context.Context, d *datadir.Dir) []finding {
	if e.cfg.DatabaseURL == "" && !runs(d, datadir.LockPostgres) {
		return nil
	}
	s, err := e.offline()
	if err != nil {
		return []finding{fail("secrets", err.Error(), "restore "+d.Keys()+" from a back-up, and run doctor again")}
	}
	found, err := stack.SurveySecrets(ctx, s)
	if err != nil {
		return []finding{fail("secrets", err.Error(), "see PostgreSQL, and that the ring of sealing keys is there: "+d.SealingKeysFile())}
	}
	all, old, bad := 0, 0, 0
	for _, f := range found {
		all, bad = all+f.Values, bad+f.Unreadable
		if !f.Primary {
			old += f.Values
		}
	}
	switch {
	case bad > 0:
		return []finding{fail("secrets", fmt.Sprintf("%d of %s cannot be opened", bad, count(all, "sealed value")), "`commandcenter secrets status` says which; restore the ring that belongs to this database")}
	case old > 0:
		return []finding{warn("secrets", fmt.Sprintf("%d of %s are under a key that was replaced", old, count(all, "sealed value")), "commandcenter secrets rotate --rewrap-only")}
	}
	return []finding{fine("secrets", count(all, "sealed value")+", all under the primary key")}
}
