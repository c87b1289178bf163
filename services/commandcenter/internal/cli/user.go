package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Accounts of the instance, for superusers: list, switch off and on, reset a password",
		Example: `  commandcenter user list --search example.org
  commandcenter user deactivate jo@example.org`,
	}
	e.bind(c, true, "client.server", "client.ca_file")
	return group(c, e.userList(), e.userResetPassword(),
		e.userSwitch("deactivate", "Switch an account off",
			"Nobody logs in with it any more; its sessions, streams and keys stop within seconds.\nWhat it owns stays.",
			func(ctx context.Context, s *client.Session, id int64, key *string) (*http.Response, error) {
				return s.DeactivateUser(ctx, id, &client.DeactivateUserParams{IdempotencyKey: key})
			}),
		e.userSwitch("reactivate", "Switch an account on again", "Its keys are good again; it has to log in anew.",
			func(ctx context.Context, s *client.Session, id int64, key *string) (*http.Response, error) {
				return s.ReactivateUser(ctx, id, &client.ReactivateUserParams{IdempotencyKey: key})
			}))
}

func (e *env) userList() *cobra.Command {
	var search, state string
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The accounts, oldest first",
		Example: "  commandcenter user list --state inactive\n  commandcenter user list --search lovelace --json | jq -r '.[].email'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := client.ListUsersParams{}
			if search != "" {
				params.Search = &search
			}
			switch state {
			case "":
			case "active", "inactive":
				active := state == "active"
				params.Active = &active
			default:
				return usageError{fmt.Errorf("--state %s: want active or inactive", state)}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := users(cmd.Context(), s, params)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "ID", "E-MAIL", "NAME", "STATE", "LAST LOGIN", "SINCE")
			for _, u := range all {
				state := "active"
				if !u.IsActive {
					state = "inactive"
				}
				if u.IsSuperuser {
					state += ", superuser"
				}
				t.row(strconv.FormatInt(u.Id, 10), u.Email, or(u.FullName, ""), state, day(u.LastLoginAt, "never"), u.CreatedAt.Local().Format(time.DateOnly))
			}
			return t.flush()
		},
	}
	c.Flags().StringVar(&search, "search", "", "only accounts whose address or name contains this")
	c.Flags().StringVar(&state, "state", "", "only accounts that are active or inactive")
	values(c, "state", "active", "inactive")
	return ends(c, codesClient...)
}

// users reads all pages.
func users(ctx context.Context, s *client.Session, params client.ListUsersParams) ([]client.UserAccount, error) {
	all, limit := []client.UserAccount{}, 1000
	for {
		skip := len(all)
		params.Skip, params.Limit = &skip, &limit
		page, err := client.Into[client.UserPage](s.ListUsers(ctx, &params))
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if len(page.Items) < limit {
			return all, nil
		}
	}
}

// userNamed finds an account by id or e-mail address.
func userNamed(ctx context.Context, s *client.Session, want string) (client.UserAccount, error) {
	want = strings.TrimSpace(want)
	if id, err := strconv.ParseInt(want, 10, 64); err == nil && id > 0 {
		return client.Into[client.UserAccount](s.GetUser(ctx, id))
	}
	found, err := users(ctx, s, client.ListUsersParams{Search: &want})
	if err != nil {
		return client.UserAccount{}, err
	}
	for _, u := range found {
		if sameAddress(u.Email, want) {
			return u, nil
		}
	}
	return client.UserAccount{}, codedError{fmt.Errorf("no account %q: see `commandcenter user list`", want), exitNotFound}
}

func (e *env) userSwitch(word, short, long string, call func(ctx context.Context, s *client.Session, id int64, key *string) (*http.Response, error)) *cobra.Command {
	return ends(&cobra.Command{
		Use:     word + " USER",
		Short:   short,
		Long:    "USER is the id or the e-mail address. " + long,
		Example: "  commandcenter user " + word + " jo@example.org",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			u, err := userNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := call(cmd.Context(), s, u.Id, &key)
			if u, err = client.Finish[client.UserAccount](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, u)
				return nil
			}
			state := map[bool]string{true: "active", false: "inactive"}[u.IsActive]
			e.line("%s is %s.", u.Email, state)
			return nil
		},
	}, codesOne...)
}
