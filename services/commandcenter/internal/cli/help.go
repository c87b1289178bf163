package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// annotationCodes names the exit codes that a command can end with, beside
// those that every command has.
const annotationCodes = "exit-codes"

// Exit codes of kinds of commands, beside 0, 1 and 2.
var (
	codesClient = []int{exitAuth, exitUnavailable, exitRefused, exitInterrupted}
	codesServer = []int{exitUnavailable, exitRefused, exitInUse}
	codesBus    = []int{exitAuth, exitUnavailable, exitInterrupted}
)

// ends says with which codes the command can end.
func ends(c *cobra.Command, codes ...int) *cobra.Command {
	var all []string
	for _, code := range codes {
		all = append(all, strconv.Itoa(code))
	}
	annotations := map[string]string{annotationCodes: strings.Join(all, " ")}
	for k, v := range c.Annotations { // may be shared with other commands
		annotations[k] = v
	}
	c.Annotations = annotations
	return c
}

// meanings are the exit codes of a command.
func meanings(c *cobra.Command) []exitMeaning {
	own := strings.Fields(c.Annotations[annotationCodes])
	var out []exitMeaning
	for _, m := range exitMeanings {
		if !c.HasParent() || m.Code <= exitUsage || slices.Contains(own, strconv.Itoa(m.Code)) {
			out = append(out, m)
		}
	}
	return out
}

func (e *env) printMeanings(all []exitMeaning) {
	for _, m := range all {
		e.line("  %3d  %s", m.Code, m.Meaning)
	}
}

// helpFunc adds the exit codes to cobra's help, and answers as JSON when asked.
func (e *env) helpFunc(usual func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(c *cobra.Command, args []string) {
		if e.json {
			e.print(e.Out, describe(c))
			return
		}
		// The library says of each switch that it may be given =true or =false.
		var text bytes.Buffer
		c.SetOut(&text)
		width := columns(e.Out)
		if width < 40 {
			width = 100
		}
		c.SetUsageTemplate(strings.ReplaceAll(c.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", width)))
		usual(c, args)
		c.SetOut(e.Out)
		const noise = "[=true|false]"
		e.line("%s", strings.TrimRight(strings.ReplaceAll(text.String(), noise, strings.Repeat(" ", len(noise))), "\n"))
		e.line("\nExit codes:")
		e.printMeanings(meanings(c))
	}
}

// description is the help of a command for programs.
type description struct {
	Command   string        `json:"command"`
	Usage     string        `json:"usage"`
	Short     string        `json:"short"`
	Long      string        `json:"long,omitempty"`
	Example   string        `json:"example,omitempty"`
	Commands  []string      `json:"commands"`
	Flags     []flag        `json:"flags"`
	ExitCodes []exitMeaning `json:"exit_codes"`
}

type flag struct {
	Name    string `json:"name"`
	Short   string `json:"short,omitempty"`
	Type    string `json:"type"`
	Default string `json:"default"`
	Usage   string `json:"usage"`
}

func describe(c *cobra.Command) description {
	d := description{
		Command: c.CommandPath(), Usage: c.UseLine(), Short: c.Short, Long: c.Long, Example: c.Example, Commands: []string{}, Flags: []flag{}, ExitCodes: meanings(c),
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			d.Commands = append(d.Commands, sub.Name())
		}
	}
	add := func(f *pflag.Flag) {
		d.Flags = append(d.Flags, flag{f.Name, f.Shorthand, f.Value.Type(), f.DefValue, f.Usage})
	}
	c.LocalFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	return d
}

func (e *env) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "help [COMMAND]...",
		Short:       "How a command is used",
		Example:     "  commandcenter help ingest\n  commandcenter help bus dead --json",
		Annotations: mendable,
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if of, _, err := c.Root().Find(args); err == nil {
				names = describe(of).Commands
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			of, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("no command %q", strings.Join(args, " "))}
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

func (e *env) exitCodesCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "exit-codes",
		Short:       "What the exit codes mean",
		Example:     "  commandcenter exit-codes\n  commandcenter exit-codes --json | jq '.[] | select(.code == 7)'",
		Args:        nargs(0, 0),
		Annotations: mendable,
		RunE: func(*cobra.Command, []string) error {
			if e.json {
				e.print(e.Out, exitMeanings)
				return nil
			}
			e.line("Exit codes:")
			e.printMeanings(exitMeanings)
			return nil
		},
	}
}

// completionCommand is cobra's, but for an unknown shell and JSON.
func (e *env) completionCommand() *cobra.Command {
	shells := map[string]struct {
		write func(root *cobra.Command, w *bytes.Buffer) error
		use   string
	}{
		"bash":       {func(root *cobra.Command, w *bytes.Buffer) error { return root.GenBashCompletionV2(w, true) }, "  source <(commandcenter completion bash)\n  commandcenter completion bash > /etc/bash_completion.d/commandcenter"},
		"zsh":        {func(root *cobra.Command, w *bytes.Buffer) error { return root.GenZshCompletion(w) }, `  commandcenter completion zsh > "${fpath[1]}/_commandcenter"`},
		"fish":       {func(root *cobra.Command, w *bytes.Buffer) error { return root.GenFishCompletion(w, true) }, "  commandcenter completion fish | source"},
		"powershell": {func(root *cobra.Command, w *bytes.Buffer) error { return root.GenPowerShellCompletionWithDesc(w) }, "  commandcenter completion powershell | Out-String | Invoke-Expression"},
	}
	var all []*cobra.Command
	for shell, s := range shells {
		all = append(all, &cobra.Command{
			Use: shell, Short: "Completion for " + shell, Example: s.use, Args: nargs(0, 0), Annotations: mendable,
			RunE: func(c *cobra.Command, _ []string) error {
				var script bytes.Buffer
				if err := s.write(c.Root(), &script); err != nil {
					return err
				}
				if e.json {
					e.print(e.Out, map[string]string{"shell": shell, "script": script.String()})
					return nil
				}
				_, err := script.WriteTo(e.Out)
				return err
			},
		})
	}
	return group(&cobra.Command{
		Use: "completion", Short: "Completion of commands, flags and values in a shell", Example: "  source <(commandcenter completion bash)", Annotations: mendable,
	}, all...)
}

// values completes a flag that takes one of a few.
func values(c *cobra.Command, flag string, list ...string) {
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // there is no such flag: every start would fail
	}
}
