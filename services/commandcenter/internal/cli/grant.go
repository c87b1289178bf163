package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// book is where grants are written down.
func (e *env) book() grants.Book {
	return grants.Book{Dir: e.cfg.DataDir, Connect: e.busAs, Taker: stack.Taker(), Now: time.Now}
}

// knownBook is the book of an instance whose keys are here: what is not written
// down in another directory may well have been granted.
func (e *env) knownBook() (grants.Book, error) {
	if _, err := os.Stat(filepath.Join(datadir.At(e.cfg.DataDir).Keys(), "operator.jwt")); err != nil {
		return grants.Book{}, codedError{fmt.Errorf("no keys of an instance, so nobody knows here what was granted: %w; name the data directory of the instance with --data-dir", err), exitAuth}
	}
	return e.book(), nil
}

func (e *env) busGrant() *cobra.Command {
	var project int64
	var team, out string
	var says, hears []string
	var expires, since time.Duration
	var renew bool
	c := &cobra.Command{
		Use:   "grant NAME",
		Short: "Let another team onto the bus, in one project, for what is named",
		Long: `Makes credentials, or changes what earlier ones may do. They open an account of
their own, into which nothing reaches but the facts to subscribe to, and out of
which nothing goes but the facts to publish. The file is all that the team needs,
besides the address of NATS; it is not kept here.

What to publish is noun.fact.v1 of the team, said on ext.p<project>.<team>.…;
"*" stands for a word and ">" for all. What to subscribe to is a public fact by
its id, see EVENTS.md; "*" at the end stands for any rest. What is said of the
instance and no project is granted by its subject: evt.instance.federation.*.
A durable consumer keeps what the team has not taken yet: stream EVENTS, JetStream
domain commandcenter.

The project has to be there. When it is deleted, its grants are revoked.`,
		Example: `  commandcenter bus grant billing --project 42 --publish invoice.paid.v1 --subscribe "knowledge.document.*"
  nats --creds billing.creds sub "evt.p42.knowledge.document.indexed.v1"
  nats --creds billing.creds req ext.p42.billing.invoice.paid.v1 '{"total": 3}'
  nats --creds billing.creds --js-domain commandcenter consumer next EVENTS grant-billing`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if team == "" {
				team = name
			}
			a, err := bus.ParseAccess(name, tenant.Project(project), team, says, hears)
			if err != nil {
				return usageError{err}
			}
			now := time.Now()
			if expires > 0 {
				a.Expires = now.Add(expires)
			}
			if out == "" {
				out = name + ".creds"
			}
			var from time.Time
			if since > 0 {
				from = now.Add(-since)
			}
			return e.grant(cmd.Context(), a, out, renew, from)
		},
	}
	fs := c.Flags()
	fs.Int64Var(&project, "project", 0, "number of the project")
	fs.StringVar(&team, "team", "", "name under which the team says facts (default: NAME)")
	fs.StringSliceVar(&says, "publish", nil, "facts that the team may say: noun.fact.v1")
	fs.StringSliceVar(&hears, "subscribe", nil, "public facts that the team may hear, by id")
	lasting(fs, &expires, "expires", 0, "how long the grant holds (default: until it is revoked)")
	lasting(fs, &since, "since", 0, "how far back a new consumer begins (default: now)")
	fs.StringVarP(&out, "out", "o", "", "file for the credentials, readable by you alone (default: NAME.creds)")
	fs.BoolVar(&renew, "renew", false, "make new credentials, in the place of the earlier ones, which are refused")
	return ends(c, append(slices.Clone(codesBus), exitNotFound)...)
}

func (e *env) grant(ctx context.Context, a bus.Access, out string, renew bool, since time.Time) error {
	if _, err := os.Stat(e.cfg.DataDir + "/keys/operator.nk"); err != nil {
		return codedError{fmt.Errorf("no keys to sign with: %w; name the data directory of the instance with --data-dir", err), exitAuth}
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := e.grantable(ctx, a.Project); err != nil {
		return err
	}
	d := &deed{operation: "grantAccess", project: a.Project}
	d.on("grant", a.Name)
	d.on("team", a.Team)
	var r grants.Record
	var written bool
	err := e.recorded(ctx, nil, d, func() (err error) {
		r, written, err = e.book().Grant(ctx, a, out, renew, since)
		return err
	})
	if err != nil {
		return err
	}
	if !written {
		out = ""
	}
	if e.json {
		e.print(e.Out, struct {
			grants.Record
			Credentials string `json:"credentials"`
		}{r.Shown(), out})
		return nil
	}
	e.printRights(r)
	if written {
		e.line("credentials    %s", out)
	} else {
		e.line("credentials    those that were given out")
	}
	if len(a.Says) > 0 {
		e.say("What it says is acknowledged in any case, and a dead letter until its schema is there: `commandcenter bus schema register %s.%s FILE`.", a.Team, a.Says[0])
	}
	return nil
}

// grantable refuses a project that is not there: its grant would hear nothing, and
// one that comes later is not the one that was meant.
func (e *env) grantable(ctx context.Context, p tenant.Project) error {
	b, err := e.adminBus(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	err = grants.Check(ctx, b, p)
	switch {
	case errors.Is(err, grants.ErrNoProject):
		return codedError{err, exitNotFound}
	case errs.KindOf(err) == errs.Unavailable:
		return codedError{fmt.Errorf("%w: without it nobody knows whether project %d is there", err, p), exitUnavailable}
	}
	return err
}

func (e *env) busRevoke() *cobra.Command {
	return ends(&cobra.Command{
		Use: "revoke NAME", Short: "End a grant: its connections are closed at once", Args: nargs(1, 1),
		Example: "  commandcenter bus revoke billing",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
			defer cancel()
			book, err := e.knownBook()
			if err != nil {
				return err
			}
			d := &deed{operation: "revokeAccess"}
			d.on("grant", args[0])
			var r grants.Record
			err = e.recorded(ctx, nil, d, func() (err error) {
				r, err = book.Revoke(ctx, args[0])
				d.project = tenant.Project(r.Project)
				return err
			})
			if errors.Is(err, grants.ErrNone) {
				return codedError{fmt.Errorf("%w, see `commandcenter bus list`", err), exitNotFound}
			}
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, r.Shown())
				return nil
			}
			e.line("Revoked %s.", r.Name)
			return nil
		},
	}, append(slices.Clone(codesBus), exitNotFound)...)
}

func (e *env) busList() *cobra.Command {
	return ends(&cobra.Command{
		Use: "list [NAME]", Short: "What was granted to other teams", Args: nargs(0, 1),
		Long:    "Lists the grants; with NAME, what that one may publish and subscribe to.",
		Example: "  commandcenter bus list\n  commandcenter bus list billing\n  commandcenter bus list --json | jq '.[].name'",
		RunE: func(_ *cobra.Command, args []string) error {
			book, err := e.knownBook()
			if err != nil {
				return err
			}
			all, err := book.List()
			if err != nil {
				return err
			}
			for i := range all {
				all[i] = all[i].Shown()
			}
			if len(args) == 1 {
				i := slices.IndexFunc(all, func(r grants.Record) bool { return r.Name == args[0] })
				if i < 0 {
					return codedError{fmt.Errorf("%w: %q, see `commandcenter bus list`", grants.ErrNone, args[0]), exitNotFound}
				}
				if e.json {
					e.print(e.Out, all[i])
				} else {
					e.printGrant(all[i])
				}
				return nil
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			if len(all) == 0 {
				e.say("No grants.")
				return nil
			}
			t := newTable(e.Out, "NAME", "PROJECT", "TEAM", "STATE", "PUBLISHES", "SUBSCRIBES", "CHANGED")
			for _, r := range all {
				t.row(r.Name, strconv.FormatInt(r.Project, 10), r.Team, r.State(time.Now()), count(len(r.Publish), "fact"), count(len(r.Subscribe), "fact"), changedAt(r).Local().Format(time.DateTime))
			}
			return t.flush()
		},
	}, append(slices.Clone(codesBus), exitNotFound)...)
}

// changedAt is when a grant became what it is: given anew, run out, or revoked.
func changedAt(r grants.Record) time.Time {
	switch {
	case r.RevokedAt != nil:
		return *r.RevokedAt
	case r.ExpiresAt != nil && r.ExpiresAt.Before(time.Now()):
		return *r.ExpiresAt
	}
	return r.ChangedAt
}

// printGrant says what a grant is for.
func (e *env) printGrant(r grants.Record) {
	e.line("%s  %s, of team %s in project %d", r.Name, r.State(time.Now()), r.Team, r.Project)
	switch {
	case r.RevokedAt != nil:
		e.line("revoked        %s", r.RevokedAt.Local().Format(time.DateTime))
	case r.ExpiresAt != nil:
		e.line("until          %s", r.ExpiresAt.Local().Format(time.DateTime))
	}
	e.printRights(r)
}

func (e *env) printRights(r grants.Record) {
	for _, s := range r.Publish {
		e.line("may publish    %s", s)
	}
	for _, s := range r.Subscribe {
		e.line("may subscribe  %s", s)
	}
	if r.Consumer != "" {
		e.line("takes from     stream %s, consumer %s", bus.StreamEvents, r.Consumer)
		e.line("               JetStream domain %s", bus.AccessDomain)
	}
}
