package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

func (e *env) loginCommand() *cobra.Command {
	var email string
	var fromStdin bool
	c := &cobra.Command{
		Use:   "login",
		Short: "Log in to a server and keep the tokens",
		Long: `Asks for e-mail and password and keeps the tokens, readable by you alone.

On the machine of a server that was started with ` + "`up`" + `, and with the right to read
its data directory, no login is needed while it runs: the owner's password is
found there, and sent to the address of that server alone.
In scripts, give the password on standard input with --password-stdin.`,
		Example: `  commandcenter login
  commandcenter login --server https://cc.example.org --email me@example.org
  pass show cc | commandcenter login --email me@example.org --password-stdin`,
		Args: nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			local, p, why := e.localOwner()
			var refused *client.APIError
			if why == nil && (email == "" || email == local) && !fromStdin {
				err := s.Login(cmd.Context(), local, p)
				if err == nil {
					return e.whoami(cmd, s)
				}
				if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
					return err
				}
				// It was changed since, or reset: the owner has another, as everybody has.
				why = fmt.Errorf("%s is not the owner's password any more: %w", datadir.At(e.cfg.DataDir).OwnerPasswordFile(), err)
				if file, ok := e.In.(*os.File); ok && terminal(file) {
					e.say("%v", why)
				}
			}
			email, password, err := e.askLogin(email, fromStdin)
			if errors.Is(err, errNoTerminal) && refused != nil {
				return fmt.Errorf("%w; give --email and --password-stdin", why)
			}
			if errors.Is(err, errNoTerminal) && why != nil {
				return usageError{fmt.Errorf("%w; %w", err, why)}
			}
			if err != nil {
				return err
			}
			if err := s.Login(cmd.Context(), email, password); err != nil {
				return err
			}
			return e.whoami(cmd, s)
		},
	}
	c.Flags().StringVar(&email, "email", "", "address of the account")
	c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	e.bind(c, false, "client.server", "client.ca_file")
	return ends(c, codesClient...)
}

func (e *env) whoami(cmd *cobra.Command, s *client.Session) error {
	me, err := client.Into[client.UserResponse](s.GetCurrentUserInfo(cmd.Context()))
	if err != nil {
		return err
	}
	if e.json {
		e.print(e.Out, map[string]any{"server": s.Server(), "user": me, "credentials": credentialsFile()})
		return nil
	}
	e.line("Logged in to %s as %s.", s.Server(), me.Email)
	return nil
}

var errNoTerminal = errors.New("no terminal to ask on")

func (e *env) askLogin(email string, fromStdin bool) (string, string, error) {
	in := bufio.NewReader(e.In)
	file, isFile := e.In.(*os.File)
	interactive := isFile && terminal(file)
	if email == "" {
		if !interactive {
			missing := "--email"
			if !fromStdin {
				missing += " and --password-stdin"
			}
			return "", "", usageError{fmt.Errorf("%w: give %s", errNoTerminal, missing)}
		}
		e.ask("E-mail: ")
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", fmt.Errorf("read the e-mail address: %w", err)
		}
		email = strings.TrimSpace(line)
	}
	if fromStdin {
		line, err := in.ReadString('\n')
		if err != nil && line == "" {
			return "", "", usageError{fmt.Errorf("standard input has to hold the password: %w", err)}
		}
		return email, strings.TrimRight(line, "\r\n"), nil
	}
	if !interactive {
		return "", "", usageError{fmt.Errorf("%w: give the password with --password-stdin", errNoTerminal)}
	}
	e.ask("Password: ")
	password, err := term.ReadPassword(int(file.Fd()))
	e.ask("\n")
	if err != nil {
		return "", "", fmt.Errorf("read the password: %w", err)
	}
	return email, string(password), nil
}

func (e *env) ask(s string) { fmt.Fprint(e.Err, s) } // only talk

func (e *env) logoutCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "logout",
		Short: "End the session and forget the tokens",
		Long: `Ends the session at the server and forgets its tokens. Nobody is logged in until
the next ` + "`commandcenter login`" + `, not even the owner on the machine of the server.`,
		Example: "  commandcenter logout\n  commandcenter logout --server https://cc.example.org",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("CC_TOKEN") != "" {
				return usageError{errors.New("CC_TOKEN is set, and a key has no session: unset it to log out")}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			was := s.LoggedIn()
			if err := s.Logout(cmd.Context()); err != nil {
				return fmt.Errorf("the tokens are forgotten here, but the server was not told: %w", err)
			}
			if e.json {
				e.print(e.Out, map[string]any{"server": s.Server(), "logged_out": true, "was_logged_in": was})
				return nil
			}
			if !was {
				e.line("Nobody was logged in at %s, and nobody is until `commandcenter login`.", s.Server())
				return nil
			}
			e.line("Logged out of %s. `commandcenter login` logs in again.", s.Server())
			return nil
		},
	}
	e.bind(c, false, "client.server", "client.ca_file")
	return ends(c, codesClient...)
}
