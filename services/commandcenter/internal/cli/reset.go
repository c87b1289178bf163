package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func (e *env) userResetPassword() *cobra.Command {
	var local, add bool
	c := &cobra.Command{
		Use:   "reset-password USER",
		Short: "Let somebody choose a password anew who has lost it",
		Long: `USER is the id or the e-mail address. Shows a secret, once, to be given to the owner
of the account; it works once, for an hour (auth.password_reset_life), with
` + "`commandcenter password reset`" + `. Until then nothing changes; then every session of the
account ends. Another one, a password change, and switching the account off end it.

--local asks the database on the machine of the instance, and nobody has to be
logged in: it is for the last superuser too. PostgreSQL has to run.`,
		Example: "  commandcenter user reset-password jo@example.org\n  commandcenter user reset-password owner@commandcenter.local --local",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			issue, at := e.issueReset, ""
			if local {
				issue = e.issueResetHere
			} else if at = e.cfg.Client.Server; at != "" {
				at = " --server " + shell(at)
			}
			r, err := issue(cmd.Context(), args[0], add)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, r)
				return nil
			}
			e.line("%s may choose a password anew, once, until %s:", r.Email, r.ExpiresAt.Local().Format(time.DateTime))
			e.line("  %s", r.Token)
			if r.Link != nil {
				e.line("  %s", *r.Link)
			}
			e.say("Give it to the owner of the account, in a way that nobody else reads. It is used with\n  commandcenter password reset -%s", at)
			return nil
		},
	}
	c.Flags().BoolVar(&local, "local", false, "ask the database of this machine, without a login")
	c.Flags().BoolVar(&add, "add-password", false, "also for an account that logs in by the identity provider: it has a password then as well")
	e.bind(c, false, "database_url")
	return ends(c, codesOne...)
}

func (e *env) issueReset(ctx context.Context, account string, add bool) (r client.PasswordResetCreated, err error) {
	s, err := e.session()
	if err != nil {
		return r, err
	}
	u, err := userNamed(ctx, s, account)
	if err != nil {
		return r, err
	}
	return client.Into[client.PasswordResetCreated](s.IssuePasswordReset(ctx, u.Id, client.PasswordResetCreate{AddPassword: &add}))
}

func (e *env) issueResetHere(ctx context.Context, account string, add bool) (out client.PasswordResetCreated, err error) {
	s, err := e.offline()
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := stack.IssuePasswordReset(ctx, s, operator(), strings.TrimSpace(account), add)
	switch errs.KindOf(err) {
	case errs.NotFound:
		return out, codedError{fmt.Errorf("no account %q: %w", account, err), exitNotFound}
	case errs.Conflict:
		return out, codedError{err, exitRefused}
	}
	if err != nil {
		return out, err
	}
	out = client.PasswordResetCreated{UserId: r.UserID, Email: r.Email, ExpiresAt: r.ExpiresAt, Token: r.Secret}
	if r.Link != "" {
		out.Link = &r.Link
	}
	return out, nil
}

func (e *env) passwordReset() *cobra.Command {
	var fromStdin bool
	c := &cobra.Command{
		Use:   "reset SECRET",
		Short: "Choose a password anew, by the secret that a superuser gave you",
		Long: `SECRET is what ` + "`commandcenter user reset-password`" + ` has shown; - reads it from standard
input, where no list of processes shows it. It asks for the new password; in scripts
that is the next line of standard input, with --password-stdin. Every session of the
account ends; API keys stay.`,
		Example: "  commandcenter password reset -\n  printf '%s\\n' \"$SECRET\" \"$NEW\" | commandcenter password reset - --password-stdin",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			secret, fresh, err := e.askReset(args[0], fromStdin)
			if err != nil {
				return err
			}
			done, err := client.Into[client.MessageResponse](s.Open().ResetPassword(cmd.Context(), client.PasswordReset{Token: secret, NewPassword: fresh}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, done)
				return nil
			}
			e.line("%s.", done.Message)
			e.say("`commandcenter login` logs in with it.")
			return nil
		},
	}
	c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the new password from standard input")
	return ends(c, slices.Clone(codesClient)...)
}

// askReset reads the secret, where it is "-", and the new password, that twice
// from a person.
func (e *env) askReset(secret string, fromStdin bool) (string, string, error) {
	in := bufio.NewReader(e.In)
	file, isFile := e.In.(*os.File)
	interactive := isFile && terminal(file)
	line := func(what string) (string, error) {
		text, err := in.ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text == "" || err != nil && !errors.Is(err, io.EOF) {
			return "", usageError{fmt.Errorf("standard input has to hold %s", what)}
		}
		return text, nil
	}
	var err error
	if secret == "-" {
		if interactive {
			e.ask("Secret: ")
		}
		if secret, err = line("the secret"); err != nil {
			return "", "", err
		}
	}
	if fromStdin {
		fresh, err := line("the new password")
		return secret, fresh, err
	}
	if !interactive {
		return "", "", usageError{fmt.Errorf("%w: give the new password with --password-stdin", errNoTerminal)}
	}
	answers, err := e.unseen(file, "New password: ", "New password again: ")
	if err != nil {
		return "", "", err
	}
	return secret, answers[0], nil
}
