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

func (e *env) memberCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "member",
		Short: "Who belongs to the project in use, and as what",
		Example: `  commandcenter member list
  commandcenter member invite jo@example.org --role member
  commandcenter member role jo@example.org admin`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.memberList(), e.memberInvite(), e.memberRole(), e.memberRemove(), e.memberLeave(), e.memberTransfer())
}

// roles are those that somebody can be given.
var roles = []string{string(client.MemberUpdateRoleViewer), string(client.MemberUpdateRoleMember), string(client.MemberUpdateRoleAdmin)}

// inProject runs what needs a session and the project in use.
func (e *env) inProject(run func(ctx context.Context, s *client.Session, project int64) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		s, err := e.session()
		if err != nil {
			return err
		}
		project, err := thisProject(cmd.Context(), s)
		if err != nil {
			return err
		}
		return run(cmd.Context(), s, project)
	}
}

func (e *env) memberList() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The members, in the order of joining",
		Example: "  commandcenter member list\n  commandcenter member list --json | jq -r '.[].email'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				all, err := members(ctx, s, project)
				if err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, all)
					return nil
				}
				t := newTable(e.Out, "ID", "E-MAIL", "NAME", "ROLE", "SINCE")
				for _, m := range all {
					role := m.Role
					if !m.IsActive {
						role += " (switched off)"
					}
					t.row(strconv.FormatInt(m.UserId, 10), m.Email, or(m.FullName, ""), role, m.JoinedAt.Local().Format(time.DateOnly))
				}
				return t.flush()
			})(cmd)
		},
	}, codesClient...)
}

// members reads all pages.
func members(ctx context.Context, s *client.Session, project int64) ([]client.ProjectMember, error) {
	all := []client.ProjectMember{}
	limit := 1000
	for {
		skip := len(all)
		page, err := client.Into[[]client.ProjectMember](s.ListMembers(ctx, project, &client.ListMembersParams{Skip: &skip, Limit: &limit}))
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, nil
		}
	}
}

// memberNamed finds a member by user id or e-mail address.
func memberNamed(ctx context.Context, s *client.Session, project int64, who string) (client.ProjectMember, error) {
	all, err := members(ctx, s, project)
	if err != nil {
		return client.ProjectMember{}, err
	}
	for _, m := range all {
		if strconv.FormatInt(m.UserId, 10) == who || sameAddress(m.Email, who) {
			return m, nil
		}
	}
	return client.ProjectMember{}, codedError{fmt.Errorf("no member %q: see `commandcenter member list`", who), exitNotFound}
}

func (e *env) memberInvite() *cobra.Command {
	var role string
	var days int
	c := &cobra.Command{
		Use:   "invite [E-MAIL]",
		Short: "Make an invitation, and show its secret",
		Long: `Makes an invitation to the project in use, and shows its secret this once. It works
once: for the account of the address, or without one for whoever has the secret.
It takes an admin, and is good while that one may give the role.`,
		Example: "  commandcenter member invite jo@example.org --role member\n  commandcenter member invite --role viewer --days 1 --json | jq -r .token",
		Args:    nargs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if days < 0 {
				return usageError{fmt.Errorf("--days: %d days are over", days)}
			}
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				body := client.InvitationCreate{Role: client.InvitationCreateRole(role)}
				if len(args) > 0 {
					body.Email = &args[0]
				}
				if days > 0 {
					body.Days = &days
				}
				inv, err := client.Into[client.InvitationCreated](s.InviteMember(ctx, project, body))
				if err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, inv)
					return nil
				}
				e.line("Invitation %d, as %s, for %s, until %s:", inv.Id, inv.Role, or(inv.Email, "whoever has it"), inv.ExpiresAt.Local().Format(time.DateTime))
				if inv.Link != nil {
					e.line("  %s", *inv.Link)
				}
				account := "--email ADDRESS"
				if inv.Email != nil {
					account = "--email " + *inv.Email
				}
				e.line("  commandcenter invitation accept %s --server %s", inv.Token, s.Server())
				e.line("  commandcenter invitation accept %s --server %s --register %s    # who has no account yet", inv.Token, s.Server(), account)
				return nil
			})(cmd)
		},
	}
	c.Flags().StringVar(&role, "role", "member", "what they are to be")
	values(c, "role", roles...)
	c.Flags().IntVar(&days, "days", 0, "how long it is good; the default of the instance when 0")
	return ends(c, codesClient...)
}

func (e *env) memberRole() *cobra.Command {
	return ends(&cobra.Command{
		Use:       "role USER viewer|member|admin",
		Short:     "Give a member another role",
		Long:      "USER is the id or the e-mail address of a member. It takes an admin; the owner's role\nchanges by `member transfer` alone.",
		Example:   "  commandcenter member role jo@example.org admin",
		Args:      nargs(2, 2),
		ValidArgs: roles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "owner" {
				return usageError{fmt.Errorf("a project has one owner: `commandcenter member transfer %s` gives it to that member", args[0])}
			}
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				m, err := memberNamed(ctx, s, project, args[0])
				if err != nil {
					return err
				}
				key := uuid.NewString()
				resp, err := s.SetMemberRole(ctx, project, m.UserId, &client.SetMemberRoleParams{IdempotencyKey: &key}, client.MemberUpdate{Role: client.MemberUpdateRole(args[1])})
				if m, err = client.Finish[client.ProjectMember](ctx, s, resp, err); err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, m)
					return nil
				}
				e.line("%s is %s.", m.Email, m.Role)
				return nil
			})(cmd)
		},
	}, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) memberRemove() *cobra.Command {
	var revoke bool
	c := &cobra.Command{
		Use:   "remove USER...",
		Short: "Take members out of the project",
		Long: `USER is the id or the e-mail address of a member. Within seconds their calls are
refused and their event streams end. It takes an admin.

Keys that they made for service accounts go on, since programs use them, and they
may know them: it is said how many there are, and --revoke-keys ends them too.`,
		Example: "  commandcenter member remove jo@example.org\n  commandcenter member remove jo@example.org --revoke-keys",
		Args:    nargs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				for _, who := range args {
					m, err := memberNamed(ctx, s, project, who)
					if err != nil {
						return err
					}
					made, err := madeKeys(ctx, s, m.UserId)
					if err != nil {
						return err
					}
					key := uuid.NewString()
					resp, err := s.RemoveMember(ctx, project, m.UserId, &client.RemoveMemberParams{IdempotencyKey: &key, RevokeKeys: &revoke})
					if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
						return fmt.Errorf("%s: %w", m.Email, err)
					}
					if e.json {
						e.print(e.Out, map[string]any{"user_id": m.UserId, "email": m.Email, "done": "remove", "made_keys": made, "revoked": revoke})
						continue
					}
					e.line("%s is no member any more.", m.Email)
					switch {
					case len(made) == 0:
					case revoke:
						e.say("%s made for service accounts are revoked.", count(len(made), "key"))
					default:
						e.say("%s made for service accounts by them go on, and they may know them: %s. `commandcenter key rotate` or `key revoke` ends one.", count(len(made), "key"), strings.Join(made, ", "))
					}
				}
				return nil
			})(cmd)
		},
	}
	c.Flags().BoolVar(&revoke, "revoke-keys", false, "revoke the keys as well that they made for service accounts")
	return ends(c, append([]int{exitNotFound}, codesClient...)...)
}

// madeKeys are the ids of the live keys that a member has made for service accounts of
// the project in use.
func madeKeys(ctx context.Context, s *client.Session, userID int64) ([]string, error) {
	all := true
	keys, err := client.Into[[]client.ApiKey](s.ListKeys(ctx, &client.ListKeysParams{All: &all}))
	made := []string{}
	for _, k := range keys {
		if k.CreatedBy == fmt.Sprint("user:", userID) && strings.HasPrefix(k.Holder, "service-account:") {
			made = append(made, k.Id)
		}
	}
	return made, err
}

func (e *env) memberLeave() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "leave",
		Short:   "Leave the project in use",
		Long:    "Leaves the project in use. Its owner transfers it first.",
		Example: "  commandcenter member leave --project 2",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				key := uuid.NewString()
				resp, err := s.LeaveProject(ctx, project, &client.LeaveProjectParams{IdempotencyKey: &key})
				if _, err := client.Finish[any](ctx, s, resp, err); err != nil {
					return err
				}
				if !s.ByToken() { // a key may be somebody else's
					if err := s.ForgetProject(ctx, project); err != nil {
						return err
					}
				}
				if e.json {
					e.print(e.Out, map[string]any{"project_id": project, "done": "leave"})
					return nil
				}
				e.line("You are no member of project %d any more.", project)
				return nil
			})(cmd)
		},
	}, append([]int{exitNotFound}, codesClient...)...)
}

func (e *env) memberTransfer() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "transfer USER",
		Short:   "Give the project to another member",
		Long:    "USER, the id or the e-mail address of a member, becomes the owner; you remain an admin.",
		Example: "  commandcenter member transfer jo@example.org",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.inProject(func(ctx context.Context, s *client.Session, project int64) error {
				m, err := memberNamed(ctx, s, project, args[0])
				if err != nil {
					return err
				}
				key := uuid.NewString()
				resp, err := s.TransferProject(ctx, project, &client.TransferProjectParams{IdempotencyKey: &key}, client.ProjectTransfer{UserId: m.UserId})
				p, err := client.Finish[client.ProjectResponse](ctx, s, resp, err)
				if err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, p)
					return nil
				}
				e.line("%s owns project %d, %s.", p.Owner, p.Id, p.Name)
				return nil
			})(cmd)
		},
	}, append([]int{exitNotFound}, codesClient...)...)
}
