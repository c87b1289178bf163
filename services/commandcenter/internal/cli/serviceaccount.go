package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) serviceAccountCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "service-account",
		Short: "Members of the project in use that are programs",
		Long: `A service account has a role in its project and is nobody: it calls with keys of its
own, and stays when the person who made it leaves.`,
		Example: `  commandcenter service-account create deploy --role member
  commandcenter key create deploy --service-account deploy --scope knowledge:write
  commandcenter service-account delete deploy`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.serviceAccountList(), e.serviceAccountCreate(), e.serviceAccountRole(), e.serviceAccountDelete())
}

func (e *env) serviceAccountList() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The service accounts, by name",
		Example: "  commandcenter service-account list\n  commandcenter service-account list --json | jq -r '.[].name'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[[]client.ServiceAccount](s.ListServiceAccounts(cmd.Context(), &client.ListServiceAccountsParams{}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "ID", "NAME", "ROLE", "MADE BY", "SINCE")
			for _, a := range all {
				t.row(strconv.FormatInt(a.Id, 10), a.Name, a.Role, a.CreatedBy, a.CreatedAt.Local().Format(time.DateOnly))
			}
			return t.flush()
		},
	}, codesClient...)
}

// accountNamed finds a service account by name or id.
func accountNamed(ctx context.Context, s *client.Session, want string) (client.ServiceAccount, error) {
	all, err := client.Into[[]client.ServiceAccount](s.ListServiceAccounts(ctx, &client.ListServiceAccountsParams{}))
	if err != nil {
		return client.ServiceAccount{}, err
	}
	for _, fits := range []func(client.ServiceAccount) bool{
		func(a client.ServiceAccount) bool { return strings.EqualFold(a.Name, want) },
		func(a client.ServiceAccount) bool { return strconv.FormatInt(a.Id, 10) == want },
	} {
		for _, a := range all {
			if fits(a) {
				return a, nil
			}
		}
	}
	return client.ServiceAccount{}, codedError{fmt.Errorf("no service account %q: see `commandcenter service-account list`", want), exitNotFound}
}

func (e *env) serviceAccountCreate() *cobra.Command {
	var role string
	c := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a service account",
		Long:    "It takes an admin. `commandcenter key create --service-account NAME` makes its keys.",
		Example: "  commandcenter service-account create deploy --role member",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			key, as := uuid.NewString(), client.ServiceAccountCreateRole(role)
			resp, err := s.CreateServiceAccount(cmd.Context(), &client.CreateServiceAccountParams{IdempotencyKey: &key}, client.ServiceAccountCreate{Name: args[0], Role: &as})
			a, err := client.Finish[client.ServiceAccount](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			return e.showAccount(a)
		},
	}
	c.Flags().StringVar(&role, "role", "member", "what it is in the project")
	values(c, "role", roles...)
	return ends(c, codesClient...)
}

func (e *env) showAccount(a client.ServiceAccount) error {
	if e.json {
		e.print(e.Out, a)
		return nil
	}
	e.line("Service account %d, %s, is %s.", a.Id, a.Name, a.Role)
	return nil
}

func (e *env) serviceAccountRole() *cobra.Command {
	return ends(&cobra.Command{
		Use:       "role ACCOUNT viewer|member|admin",
		Short:     "Give a service account another role",
		Long:      "ACCOUNT is its name or id. It takes an admin, and holds for its keys at once.",
		Example:   "  commandcenter service-account role deploy viewer",
		Args:      nargs(2, 2),
		ValidArgs: roles,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			a, err := accountNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			key, role := uuid.NewString(), client.ServiceAccountUpdateRole(args[1])
			resp, err := s.UpdateServiceAccount(cmd.Context(), a.Id, &client.UpdateServiceAccountParams{IdempotencyKey: &key}, client.ServiceAccountUpdate{Role: &role})
			if a, err = client.Finish[client.ServiceAccount](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			return e.showAccount(a)
		},
	}, codesOne...)
}

func (e *env) serviceAccountDelete() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "delete ACCOUNT",
		Short:   "End a service account and its keys, at once",
		Long:    "ACCOUNT is its name or id. It takes an admin.",
		Example: "  commandcenter service-account delete deploy",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			a, err := accountNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.DeleteServiceAccount(cmd.Context(), a.Id, &client.DeleteServiceAccountParams{IdempotencyKey: &key})
			if _, err := client.Finish[any](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, a)
				return nil
			}
			e.line("Service account %s and its keys have ended.", a.Name)
			return nil
		},
	}, codesOne...)
}
