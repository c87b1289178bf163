package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) sessionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "session",
		Short: "Where you are logged in: list, end",
		Example: `  commandcenter session list
  commandcenter session end --all`,
	}
	e.bind(c, true, "client.server", "client.ca_file")
	return group(c, e.sessionList(), e.sessionEnd())
}

func (e *env) sessionList() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Your live sessions, latest used first; * marks this one",
		Long:    "FROM is the network address from which a session was opened, or last traded its token,\nand WITH what the program there said that it is.",
		Example: "  commandcenter session list\n  commandcenter session list --json | jq -r '.[] | select(.current | not) | .id'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[[]client.SessionResponse](s.ListSessions(cmd.Context()))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "", "OPENED", "USED", "EXPIRES", "FROM", "WITH", "ID")
			for _, x := range all {
				mark := ""
				if x.Current {
					mark = "*"
				}
				t.row(mark, day(&x.CreatedAt, ""), day(&x.UsedAt, ""), day(&x.ExpiresAt, ""), x.Address, program(x.Client), x.Id)
			}
			return t.flush()
		},
	}, codesClient...)
}

func (e *env) sessionEnd() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     "end [ID...]",
		Short:   "End sessions: those named, or all",
		Long:    "Their tokens and streams stop within seconds. `logout` ends this one.",
		Example: "  commandcenter session end 0198c0de-0000-4000-8000-000000000001\n  commandcenter session end --all",
		Args:    nargs(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usageError{errors.New("name the sessions to end, or give --all")}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			if all {
				if _, err := client.Into[client.MessageResponse](s.EndSessions(cmd.Context())); err != nil {
					return err
				}
				return e.ended("all", "Logged out everywhere, here too.")
			}
			for _, id := range args {
				if _, err := client.Into[any](s.EndSession(cmd.Context(), id)); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
			}
			return e.ended(args, "Ended.")
		},
	}
	c.Flags().BoolVar(&all, "all", false, "log out everywhere, here too")
	return ends(c, codesOne...)
}

func (e *env) ended(what any, text string) error {
	if e.json {
		e.print(e.Out, map[string]any{"ended": what})
		return nil
	}
	e.line("%s", text)
	return nil
}

func (e *env) passwordCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "password",
		Short:   "Your password: change, reset",
		Example: "  commandcenter password change",
	}
	e.bind(c, true, "client.server", "client.ca_file")
	return group(c, e.passwordChange(), e.passwordReset())
}

func (e *env) passwordChange() *cobra.Command {
	var fromStdin bool
	c := &cobra.Command{
		Use:   "change",
		Short: "Change your password; every other session ends",
		Long: `Asks for the old and the new password. In scripts, give them on standard input, one a
line, with --password-stdin.

The owner of an instance on this machine logs in by the password in the data
directory; after a change, by ` + "`commandcenter login`" + ` as everybody else.`,
		Example: "  commandcenter password change\n  printf '%s\\n' \"$OLD\" \"$NEW\" | commandcenter password change --password-stdin",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			was, is, err := e.askPasswords(fromStdin)
			if err != nil {
				return err
			}
			done, err := client.Into[client.MessageResponse](s.ChangePassword(cmd.Context(), client.PasswordChange{OldPassword: was, NewPassword: is}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, done)
				return nil
			}
			e.line("%s.", done.Message)
			return nil
		},
	}
	c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read old and new password from standard input, one a line")
	return ends(c, codesClient...)
}

// askPasswords reads the old password and the new one, that twice from a person.
func (e *env) askPasswords(fromStdin bool) (was, is string, err error) {
	if fromStdin {
		in := bufio.NewScanner(e.In)
		lines := make([]string, 0, 2)
		for len(lines) < 2 && in.Scan() {
			lines = append(lines, strings.TrimRight(in.Text(), "\r"))
		}
		if len(lines) < 2 {
			return "", "", usageError{errors.Join(errors.New("standard input has to hold two lines, the old password and the new one"), in.Err())}
		}
		return lines[0], lines[1], nil
	}
	file, isFile := e.In.(*os.File)
	if !isFile || !terminal(file) {
		return "", "", usageError{fmt.Errorf("%w: give the passwords with --password-stdin", errNoTerminal)}
	}
	answers, err := e.unseen(file, "Old password: ", "New password: ", "New password again: ")
	if err != nil {
		return "", "", err
	}
	return answers[0], answers[1], nil
}

// unseen asks for passwords, which the terminal does not show; the last two are one
// that is to be the same both times.
func (e *env) unseen(from *os.File, prompts ...string) ([]string, error) {
	answers := make([]string, len(prompts))
	for i, prompt := range prompts {
		e.ask(prompt)
		text, err := term.ReadPassword(int(from.Fd()))
		e.ask("\n")
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
		answers[i] = string(text)
	}
	if n := len(answers); answers[n-1] != answers[n-2] {
		return nil, usageError{errors.New("the new password was not the same both times")}
	}
	return answers, nil
}
