package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/config"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

func (e *env) configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Show and change settings",
		Example: `  commandcenter config list
  commandcenter config set client.server https://cc.example.org
  commandcenter config get http`,
	}, e.configInit(), e.configGet(), e.configSet(), e.configPath(), e.configList())
}

// mendable marks commands that must work while the settings do not.
var mendable = map[string]string{"broken-config": "fine"}

func (e *env) configInit() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:         "init",
		Short:       "Write a settings file that names every setting",
		Example:     "  commandcenter config init\n  commandcenter config init --config ./cc.yaml --force",
		Args:        nargs(0, 0),
		Annotations: mendable,
		RunE: func(*cobra.Command, []string) error {
			d := settings.Default()
			const heading = "Settings of CommandCenter. Everything here is a default: uncomment what you change.\nEnvironment variables (in brackets) win over this file, flags over both."
			err := config.WriteFresh(e.file, &d, settings.EnvPrefix, heading, force)
			if errors.Is(err, fs.ErrExist) {
				return codedError{fmt.Errorf("%s is there already: --force overwrites it", e.file), exitRefused}
			}
			if err != nil {
				return err
			}
			return e.answerPath("wrote")
		},
	}
	c.Flags().BoolVar(&force, "force", false, "overwrite an existing file")
	return ends(c, exitRefused)
}

func (e *env) answerPath(verb string) error {
	if e.json {
		e.print(e.Out, map[string]any{"path": e.file, "exists": config.Exists(e.file)})
		return nil
	}
	if verb != "" {
		e.say("%s", verb)
	}
	e.line("%s", e.file)
	return nil
}

func (e *env) configPath() *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "Where the settings file is", Args: nargs(0, 0), Annotations: mendable,
		Example: "  $EDITOR $(commandcenter config path)",
		RunE:    func(*cobra.Command, []string) error { return e.answerPath("") },
	}
}

func (e *env) configGet() *cobra.Command {
	return ends(&cobra.Command{
		Use: "get KEY", Short: "Show one setting as it is in force", Args: nargs(1, 1),
		Example:           "  commandcenter config get http\n  commandcenter config get http --json | jq -r .origin",
		ValidArgsFunction: completeKeys,
		RunE: func(_ *cobra.Command, args []string) error {
			entry, ok := e.loaded.Get(args[0])
			if !ok {
				return codedError{fmt.Errorf("no setting %q: see `commandcenter config list`", args[0]), exitNotFound}
			}
			if e.json {
				e.print(e.Out, entry)
				return nil
			}
			e.line("%s", entry.Value)
			return nil
		},
	}, exitNotFound)
}

func (e *env) configSet() *cobra.Command {
	return ends(&cobra.Command{
		Use: "set KEY VALUE", Short: "Change one setting in the file", Args: nargs(2, 2), Annotations: mendable,
		Example:           "  commandcenter config set http :8080\n  commandcenter config set client.server https://cc.example.org",
		ValidArgsFunction: completeKeys,
		RunE: func(_ *cobra.Command, args []string) error {
			d := settings.Default()
			err := config.Set(e.file, &d, args[0], args[1])
			if errors.Is(err, config.ErrUnknown) {
				return codedError{fmt.Errorf("no setting %q: see `commandcenter config list`", args[0]), exitNotFound}
			}
			if err != nil {
				return usageError{err}
			}
			if e.json {
				e.print(e.Out, map[string]any{"path": e.file, "key": args[0]})
				return nil
			}
			e.say("Set %s in %s.", args[0], e.file)
			return nil
		},
	}, exitNotFound)
}

func (e *env) configList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All settings as they are in force, and where each comes from; secrets are masked", Args: nargs(0, 0),
		Example: "  commandcenter config list\n  commandcenter config list --json | jq '.[] | select(.origin != \"default\")'",
		RunE: func(*cobra.Command, []string) error {
			if e.json {
				e.print(e.Out, e.loaded.List())
				return nil
			}
			t := newTable(e.Out, "KEY", "VALUE", "FROM", "ENVIRONMENT", "FLAG")
			for _, s := range e.loaded.List() {
				flag := ""
				if s.Flag != "" {
					flag = "--" + s.Flag
				}
				t.row(s.Key, s.Value, s.Origin, s.Env, flag)
			}
			return t.flush()
		},
	}
}

func completeKeys(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	d := settings.Default()
	keys, err := config.Keys(&d)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}
