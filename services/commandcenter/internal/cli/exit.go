package cli

import (
	"context"
	"errors"
	"net/http"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// The exit codes. They are part of the contract of the command line.
const (
	exitOK          = 0   // done
	exitFailure     = 1   // not done, for a reason that has no code of its own
	exitUsage       = 2   // not understood: a flag, an argument, a setting, an input
	exitAuth        = 3   // not logged in, or not allowed
	exitNotFound    = 4   // no such thing
	exitUnavailable = 5   // no answer, or not now: try again
	exitRefused     = 6   // understood and refused: validation or conflict
	exitPartly      = 7   // done in part: some files failed, some checks failed
	exitInUse       = 8   // a data directory or a port is taken
	exitInterrupted = 130 // stopped by Ctrl-C before it was done
)

// exitMeaning is one code of the contract.
type exitMeaning struct {
	Code    int    `json:"code"`
	Meaning string `json:"meaning"`
}

var exitMeanings = []exitMeaning{
	{exitOK, "done"},
	{exitFailure, "not done, for a reason that has no code of its own"},
	{exitUsage, "not understood: a flag, argument, setting, or a file that cannot be read"},
	{exitAuth, "not logged in, or not allowed"},
	{exitNotFound, "no such thing"},
	{exitUnavailable, "no answer, or not now: try again"},
	{exitRefused, "understood and refused: validation or conflict"},
	{exitPartly, "done in part: some files or checks failed"},
	{exitInUse, "the data directory or a port is taken"},
	{exitInterrupted, "stopped by Ctrl-C before it was done"},
}

// usageError is a mistake in what was typed or configured.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// partlyError says that some of many things failed; they were reported.
type partlyError struct{ error }

// codedError carries its own exit code.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// exitCode is the code that an error ends the process with.
func exitCode(err error) int {
	var (
		usage  usageError
		partly partlyError
		coded  codedError
		api    *client.APIError
		gone   *client.UnreachableError
		inUse  *datadir.InUseError
		newer  *datadir.NewerError
		spoilt *datadir.DamagedError
		absent *stack.AbsentError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &partly):
		return exitPartly
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &inUse):
		return exitInUse
	case errors.As(err, &newer), errors.As(err, &spoilt):
		return exitRefused
	case errors.Is(err, app.ErrSignal), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, client.ErrNotLoggedIn), errors.Is(err, client.ErrTokenRefused):
		return exitAuth
	case errors.As(err, &gone), errors.As(err, &absent), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	case errors.As(err, &api):
		return statusCode(api.Status)
	case errs.KindOf(err) == errs.Unavailable:
		return exitUnavailable
	}
	return exitFailure
}

func statusCode(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitAuth
	case http.StatusNotFound, http.StatusGone:
		return exitNotFound
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnavailable
	}
	if status >= 400 && status < 500 {
		return exitRefused
	}
	return exitFailure
}
