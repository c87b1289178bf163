package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/config"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

// Streams are where the program reads and writes.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Run runs one command line and returns its exit code. It prints the error.
func Run(ctx context.Context, args []string, s Streams) int {
	s.Err = serial(s.Err)
	s.Out = &answer{w: s.Out}
	e := &env{Streams: s}
	root := e.root()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") {
		err = usageError{inOneLine(err)}
	}
	quiet, err := e.conclude(e.explain(ctx, err))
	code := exitCode(err)
	if err != nil && !quiet && (code != exitInterrupted || ctx.Err() == nil) { // who pressed Ctrl-C knows
		e.printError(err, code)
	}
	return code
}

// inOneLine makes a sentence of the library's list of commands that are meant.
func inOneLine(err error) error {
	what, list, found := strings.Cut(err.Error(), "Did you mean this?")
	if !found {
		return err
	}
	return fmt.Errorf("%s: did you mean %s?", strings.TrimSpace(what), strings.Join(slices.Sorted(strings.FieldsSeq(list)), " or "))
}

// env is what a command runs in.
type env struct {
	Streams
	cfg    settings.Config
	loaded *config.Loaded
	file   string // of the settings
	json   bool
	wait   time.Duration // for what others run
	asked  *client.Session
}

func (e *env) root() *cobra.Command {
	e.cfg = settings.Default()
	root := &cobra.Command{
		Use:   "commandcenter",
		Short: "The command center of an engineering team",
		Long: `CommandCenter takes in documents, lets them travel as events, and finds them by
hybrid search. One binary is the server, its parts, and the client.

Settings come from a file (` + "`commandcenter config path`" + `), the environment and
flags; the later wins. ` + "`commandcenter config list`" + ` shows what is in force.`,
		Example: `  commandcenter up                      # start everything on this machine
  commandcenter ingest ./deployments    # add a folder
  commandcenter search "how do I ..."   # find something`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: e.load,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpFunc(e.helpFunc(root.HelpFunc()))
	root.SetHelpCommand(e.helpCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&e.file, "config", "", "settings file (default "+settings.DefaultFile()+")")
	flags.BoolVar(&e.json, "json", false, "answer as JSON")
	e.bind(root, true, "data_dir", "log.level", "log.format")
	values(root, "log-level", "debug", "info", "warn", "error")
	values(root, "log-format", settings.FormatAuto, obs.FormatJSON, obs.FormatText)
	root.AddGroup(&cobra.Group{ID: "server", Title: "Server:"}, &cobra.Group{ID: "client", Title: "Client:"}, &cobra.Group{ID: "admin", Title: "Administration:"})
	for group, cmds := range map[string][]*cobra.Command{
		"server": {e.upCommand(), e.serveCommand(), e.migrateCommand()},
		"client": {e.loginCommand(), e.logoutCommand(), e.projectCommand(), e.memberCommand(), e.invitationCommand(), e.keyCommand(), e.serviceAccountCommand(), e.sessionCommand(), e.passwordCommand(), e.limitsCommand(), e.auditCommand(), e.ingestCommand(), e.knowledgeCommand(), e.technologyCommand(), e.jobCommand(), e.scheduleCommand(), e.sourceCommand(), e.taskCommand(), e.searchCommand(), e.answerCommand(), e.evalCommand(), e.mcpCommand(), e.operationCommand(), e.federationCommand()},
		"admin":  {e.userCommand(), e.authCommand(), e.doctorCommand(), e.busCommand(), e.modelsCommand(), e.secretsCommand(), e.configCommand(), e.versionCommand()},
	} {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(e.completionCommand(), e.exitCodesCommand())
	return root
}

// bind declares the flags of settings on a command.
func (e *env) bind(cmd *cobra.Command, persistent bool, keys ...string) {
	fs := cmd.Flags()
	if persistent {
		fs = cmd.PersistentFlags()
	}
	d := settings.Default()
	if err := config.BindFlags(fs, &d, keys...); err != nil {
		panic(err) // the struct is at fault: every start would fail
	}
}

// load reads the settings before any command runs.
func (e *env) load(cmd *cobra.Command, _ []string) error {
	required := e.file != ""
	if !required {
		e.file = os.Getenv("CC_CONFIG")
		required = e.file != ""
	}
	if !required {
		e.file = settings.DefaultFile()
	}
	e.cfg = settings.Default()
	var err error
	if cmd.Flags().Lookup("wait") != nil {
		if e.wait, err = cmd.Flags().GetDuration("wait"); err != nil {
			return usageError{err}
		}
	}
	from, mends := config.Source{File: e.file, Required: required, EnvPrefix: settings.EnvPrefix, Flags: cmd.Flags()}, cmd.Annotations["broken-config"] != ""
	e.loaded, err = config.Load(&e.cfg, from)
	if mends && errors.Is(err, fs.ErrNotExist) { // it makes the file; flags and environment count all the same
		from.Required = false
		e.loaded, err = config.Load(&e.cfg, from)
	}
	if err != nil && !mends {
		return usageError{err}
	}
	return nil
}

func (e *env) printError(err error, code int) {
	text := obs.RedactText(err.Error())
	if e.json {
		e.print(e.Err, map[string]any{"error": text, "exit_code": code})
		return
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(e.Err, "%s %s\n", e.paint(e.Err, red, "error:"), strings.TrimRight(line, "\n")) //nolint:errcheck // nobody is left to tell
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(e.Err, "Use --help for how it is used.") //nolint:errcheck // as above
	}
}

// print writes v as one JSON document: indented for a person, on one line else.
func (e *env) print(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if terminal(w) {
		enc.SetIndent("", "  ")
	}
	enc.Encode(v) //nolint:errcheck // the writer keeps it
}

// say writes a line for people to standard error, unless JSON was asked for.
func (e *env) say(format string, args ...any) {
	if !e.json {
		fmt.Fprintf(e.Err, format+"\n", args...) //nolint:errcheck // only talk
	}
}

// line writes a line of the answer.
func (e *env) line(format string, args ...any) {
	fmt.Fprintf(e.Out, format+"\n", args...) //nolint:errcheck // the writer keeps it
}

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

func (e *env) paint(w io.Writer, colour, s string) string {
	if !terminal(w) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// nargs checks the number of arguments; a wrong one is a mistake in usage.
func nargs(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usageError{fmt.Errorf("wrong number of arguments: %s", cmd.UseLine())}
		}
		return nil
	}
}

// group is a command that only has others below it.
func group(c *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	c.AddCommand(sub...)
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		}
		return nil
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return c
}
