package cli

import (
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) authCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "auth",
		Short:   "What access tokens are signed with, for superusers: rotate-keys",
		Example: "  commandcenter auth rotate-keys",
	}
	e.bind(c, true, "client.server", "client.ca_file")
	return group(c, e.authRotateKeys())
}

func (e *env) authRotateKeys() *cobra.Command {
	var revoke bool
	c := &cobra.Command{
		Use:   "rotate-keys",
		Short: "Sign access tokens with a new key, at once",
		Long: `Keys rotate by themselves (auth.key_rotation); this is for one that somebody may know.
Nobody is logged out: tokens from before are good until they run out. With --revoke
they are good for nothing, and clients trade their refresh token for a new one.`,
		Example: "  commandcenter auth rotate-keys\n  commandcenter auth rotate-keys --revoke",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.RotateSigningKeys(cmd.Context(), &client.RotateSigningKeysParams{IdempotencyKey: &key}, client.SigningKeysRotate{Revoke: &revoke})
			done, err := client.Finish[client.SigningKeysRotated](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, done)
				return nil
			}
			e.line("Signed with %s; good are tokens of %s.", done.Signs, strings.Join(done.Verify, ", "))
			return nil
		},
	}
	c.Flags().BoolVar(&revoke, "revoke", false, "tokens that were signed before are good for nothing")
	return ends(c, codesClient...)
}
