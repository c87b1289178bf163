package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// numberOf reads the id of what, which the command where lists.
func numberOf(word, what, where string) (int64, error) {
	id, err := strconv.ParseInt(word, 10, 64)
	if err != nil || id < 1 {
		return 0, usageError{fmt.Errorf("%q is no id of %s: see `commandcenter %s`", word, what, where)}
	}
	return id, nil
}

// ofNumber runs what is about the one thing whose id is the first argument.
func (e *env) ofNumber(what, where string, run func(ctx context.Context, s *client.Session, id int64) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		id, err := numberOf(args[0], what, where)
		if err != nil {
			return err
		}
		s, err := e.session()
		if err != nil {
			return err
		}
		return run(cmd.Context(), s, id)
	}
}
