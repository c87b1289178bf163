package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// codesOne are those of commands about one thing.
var codesOne = append(slices.Clone(codesClient), exitNotFound)

func (e *env) keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "API keys, for programs: list, create, rotate, revoke",
		Long: `A key acts in the project in use as whoever it belongs to, as far as its scopes go.
A scope is AREA:LEVEL. The area is a tag of the HTTP contract, as knowledge, or *;
the level is read, write or admin, and each holds the ones before it.

A program sends the key as ` + "`Authorization: Bearer`" + ` or as ` + "`X-API-Key`" + `; this one takes it
in CC_TOKEN. Making and ending keys takes a login, and no key does for it.`,
		Example: `  commandcenter key create ci --scope knowledge:write --expires 90d
  CC_TOKEN=cc_... commandcenter search "how do I ..."
  commandcenter key revoke ci`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.keyList(), e.keyCreate(), e.keyRotate(), e.keyRevoke())
}

func (e *env) keyList() *cobra.Command {
	var all, wide bool
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Your live keys in the project in use",
		Example: "  commandcenter key list\n  commandcenter key list --all --json | jq -r '.[] | select(.last_used_at == null) | .id'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			keys, err := client.Into[[]client.ApiKey](s.ListKeys(cmd.Context(), &client.ListKeysParams{All: &all}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, keys)
				return nil
			}
			t := newTable(e.Out, "NAME", "PREFIX", "HOLDER", "SCOPES", "EXPIRES", "LAST USED", "ID")
			for _, k := range keys {
				holder := called(k.Holder, or(k.HolderName, ""), wide)
				t.row(k.Name, k.Prefix, holder, strings.Join(k.Scopes, " "), day(k.ExpiresAt, "never"), day(k.LastUsedAt, "never"), k.Id)
			}
			return t.flush()
		},
	}
	c.Flags().BoolVar(&all, "all", false, "the keys of everybody in the project; takes an admin")
	wideFlag(c, &wide)
	return ends(c, codesClient...)
}

// day is a time as tables show it.
func day(at *time.Time, without string) string {
	if at == nil {
		return without
	}
	return at.Local().Format(time.DateTime)
}

func (e *env) keyCreate() *cobra.Command {
	var scopes []string
	var expires, account string
	c := &cobra.Command{
		Use:   "create NAME --scope AREA:LEVEL...",
		Short: "Make a key, and show it",
		Long:  "Shows the key this once: the server keeps its hash alone. On standard output is the\nkey and nothing else.",
		Example: `  commandcenter key create ci --scope knowledge:write --scope 'operations:read' --expires 90d
  commandcenter key create deploy --service-account deploy --scope '*:read' > deploy.key`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(scopes) == 0 {
				return usageError{fmt.Errorf("say with --scope what the key may do, as knowledge:read")}
			}
			body := client.ApiKeyCreate{Name: args[0], Scopes: scopes}
			if expires != "" {
				at, err := until(expires, time.Now())
				if err != nil {
					return usageError{fmt.Errorf("--expires: %w", err)}
				}
				body.ExpiresAt = &at
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			if account == "" {
				return e.showKey(s.CreateKey(cmd.Context(), &client.CreateKeyParams{}, body))
			}
			a, err := accountNamed(cmd.Context(), s, account)
			if err != nil {
				return err
			}
			return e.showKey(s.CreateServiceAccountKey(cmd.Context(), a.Id, &client.CreateServiceAccountKeyParams{}, body))
		},
	}
	c.Flags().StringArrayVar(&scopes, "scope", nil, "what it may do, as knowledge:read or *:write; may be given again")
	c.Flags().StringVar(&expires, "expires", "", "when it ends: after a time (12h, 90d) or on a day (2027-01-31); as late as the instance allows without it")
	c.Flags().StringVar(&account, "service-account", "", "the service account, by name or id, that calls with it")
	return ends(c, codesOne...)
}

// until reads a time to come: a duration, in days too, or a day.
func until(text string, now time.Time) (time.Time, error) {
	if at, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return at, nil
	}
	d, days, err := span(text)
	if err != nil || d <= 0 && days <= 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 12h or 90d nor a day such as 2027-01-31", text)
	}
	return now.AddDate(0, 0, days).Add(d), nil
}

// showKey prints a new key: the secret to standard output, so that it can be
// kept in a file, and what it is to the other one.
func (e *env) showKey(resp *http.Response, err error) error {
	made, err := client.Into[client.ApiKeyCreated](resp, err)
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, made)
		return nil
	}
	k := made.Key
	e.say("Key %s of %s in project %d for %s, until %s. It is not shown again.", k.Name, or(k.HolderName, k.Holder), k.ProjectId, strings.Join(k.Scopes, " "), day(k.ExpiresAt, "it is revoked"))
	e.line("%s", made.Secret)
	return nil
}

// keyNamed finds a live key by id or prefix, else by its name, which must be
// unambiguous. It looks at one's own, and then, for an admin, at all.
func keyNamed(ctx context.Context, s *client.Session, want string) (client.ApiKey, error) {
	for _, all := range []bool{false, true} {
		keys, err := client.Into[[]client.ApiKey](s.ListKeys(ctx, &client.ListKeysParams{All: &all}))
		if all && exitCode(err) == exitAuth {
			break // not an admin: there are only the own ones
		}
		if err != nil {
			return client.ApiKey{}, err
		}
		var named []client.ApiKey
		for _, k := range keys {
			switch want {
			case k.Id, k.Prefix:
				return k, nil
			case k.Name:
				named = append(named, k)
			}
		}
		switch len(named) {
		case 0:
			continue
		case 1:
			return named[0], nil
		}
		return client.ApiKey{}, usageError{fmt.Errorf("%d keys are called %q: give the prefix or the id of one, see `commandcenter key list`", len(named), want)}
	}
	return client.ApiKey{}, codedError{fmt.Errorf("no key %q: see `commandcenter key list`", want), exitNotFound}
}

func (e *env) keyRotate() *cobra.Command {
	var overlap time.Duration
	c := &cobra.Command{
		Use:     "rotate KEY",
		Short:   "Trade a key for a new one, and show it",
		Long:    "KEY is its name, prefix or id. The new key has the name and the scopes of the old one,\nand lives as long as that had been given.",
		Example: "  commandcenter key rotate ci\n  commandcenter key rotate ci --overlap 1h > ci.key",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			k, err := keyNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			seconds := int(overlap / time.Second)
			return e.showKey(s.RotateKey(cmd.Context(), k.Id, &client.RotateKeyParams{}, client.ApiKeyRotate{OverlapSeconds: &seconds}))
		},
	}
	lasting(c.Flags(), &overlap, "overlap", 0, "how much longer the old one works, up to a week")
	return ends(c, codesOne...)
}

func (e *env) keyRevoke() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "revoke KEY...",
		Short:   "End keys, at once",
		Long:    "KEY is its name, prefix or id. An admin ends every key of the project.",
		Example: "  commandcenter key revoke ci\n  commandcenter key revoke k3Xw9PqA",
		Args:    nargs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			ended := make([]client.ApiKey, 0, len(args))
			for _, want := range args {
				k, err := keyNamed(cmd.Context(), s, want)
				if err != nil {
					return err
				}
				if _, err := client.Into[any](s.RevokeKey(cmd.Context(), k.Id, &client.RevokeKeyParams{})); err != nil {
					return fmt.Errorf("%s: %w", want, err)
				}
				ended = append(ended, k)
				if !e.json {
					e.line("Key %s (%s) has ended.", k.Name, k.Prefix)
				}
			}
			if e.json {
				e.print(e.Out, ended)
			}
			return nil
		},
	}, codesOne...)
}
