package cli

import (
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

func (e *env) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "version",
		Short:       "What was built",
		Example:     "  commandcenter version\n  commandcenter version --json | jq -r .version",
		Args:        nargs(0, 0),
		Annotations: map[string]string{"broken-config": "fine"},
		RunE: func(*cobra.Command, []string) error {
			v := version.Get()
			if e.json {
				e.print(e.Out, v)
				return nil
			}
			e.line("commandcenter %s", v.Version)
			if v.Revision != "" {
				changed := ""
				if v.Modified {
					changed = ", changed since"
				}
				e.line("revision %s, %s%s", v.Revision, v.Time, changed)
			}
			e.line("%s, %s", v.Go, v.Platform)
			return nil
		},
	}
}
