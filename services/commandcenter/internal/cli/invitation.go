package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/runtime/types"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) invitationCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "invitation",
		Short:   "Invitations to the project in use, and joining another by one",
		Example: "  commandcenter invitation list\n  commandcenter invitation accept cci_…",
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.invitationList(), e.invitationRevoke(), e.invitationAccept())
}

func (e *env) invitationList() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The invitations that may still be accepted",
		Example: "  commandcenter invitation list --json",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				all, err := client.Into[[]client.Invitation](s.ListInvitations(ctx, project))
				if err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, orEmpty(all))
					return nil
				}
				t := newTable(e.Out, "ID", "FOR", "ROLE", "BY", "UNTIL")
				for _, inv := range all {
					t.row(strconv.FormatInt(inv.Id, 10), or(inv.Email, "whoever has it"), inv.Role, inv.Inviter, inv.ExpiresAt.Local().Format(time.DateTime))
				}
				return t.flush()
			})(cmd)
		},
	}, codesClient...)
}

func (e *env) invitationRevoke() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "revoke ID...",
		Short:   "Take invitations back",
		Example: "  commandcenter invitation revoke 4",
		Args:    nargs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ids []int64
			for _, a := range args {
				id, err := strconv.ParseInt(a, 10, 64)
				if err != nil || id < 1 {
					return usageError{fmt.Errorf("%q is no id of an invitation: see `commandcenter invitation list`", a)}
				}
				ids = append(ids, id)
			}
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				for _, id := range ids {
					key := uuid.NewString()
					resp, err := s.RevokeInvitation(ctx, project, id, &client.RevokeInvitationParams{IdempotencyKey: &key})
					if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
						return fmt.Errorf("%d: %w", id, err)
					}
					if e.json {
						e.print(e.Out, map[string]any{"id": id, "done": "revoke"})
						continue
					}
					e.line("Invitation %d is not good any more.", id)
				}
				return nil
			})(cmd)
		},
	}, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) invitationAccept() *cobra.Command {
	var register, fromStdin bool
	var email, name string
	c := &cobra.Command{
		Use:   "accept SECRET",
		Short: "Join the project of an invitation",
		Long: `Joins the project of an invitation, by its secret; - reads that from standard input,
where no list of processes shows it. --register makes an account first, with the
password that is asked for, or that is the next line with --password-stdin. Whoever
has accepted it before, with the same account, gets the same answer again.`,
		Example: `  commandcenter invitation accept cci_…
  commandcenter invitation accept cci_… --register --email jo@example.org --server https://cc.example.org
  pass show invitation | commandcenter invitation accept -`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			secret := args[0]
			if secret == "-" {
				in := bufio.NewReader(e.In)
				if secret, err = in.ReadString('\n'); err != nil && !(errors.Is(err, io.EOF) && secret != "") {
					return usageError{fmt.Errorf("standard input has to hold the secret: %w", err)}
				}
				e.In = in
			}
			if secret = strings.TrimSpace(secret); secret == "" {
				return usageError{errors.New("the secret is empty")}
			}
			if register {
				if err := e.registerWith(cmd.Context(), s, secret, email, name, fromStdin); err != nil {
					return err
				}
			}
			p, err := client.Into[client.ProjectResponse](s.AcceptInvitation(cmd.Context(), client.InvitationAccept{Token: secret}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, p)
				return nil
			}
			e.line("You are %s of project %d, %s. `commandcenter project use %d` works in it.", or(p.Role, ""), p.Id, p.Name, p.Id)
			return nil
		},
	}
	c.Flags().BoolVar(&register, "register", false, "make an account first")
	c.Flags().StringVar(&email, "email", "", "address of the account that is made")
	c.Flags().StringVar(&name, "name", "", "full name of the account that is made")
	c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password of the account that is made from standard input")
	return ends(c, append([]int{exitNotFound}, codesClient...)...)
}

// registerWith makes an account that has accepted the invitation, and logs in as
// it. An invitation that was used may have been used by this one, whose answer was
// lost: then there is nothing to make.
func (e *env) registerWith(ctx context.Context, s *client.Session, secret, email, name string, fromStdin bool) error {
	email, password, err := e.askLogin(email, fromStdin)
	if err != nil {
		return err
	}
	body := client.UserCreate{Email: types.Email(email), Password: password, FullName: text(name), Invitation: &secret}
	_, refused := client.Into[client.UserResponse](s.Open().Register(ctx, body))
	var api *client.APIError
	if refused != nil && !(errors.As(refused, &api) && api.Status == http.StatusNotFound) {
		return refused
	}
	if err := s.Login(ctx, email, password); refused == nil || !errors.As(err, &api) {
		return err
	}
	return refused
}
