package errs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

func TestEveryKindIsEitherARefusalOrAFault(t *testing.T) {
	t.Parallel()
	for kind, refusal := range map[errs.Kind]bool{
		errs.Malformed: true, errs.Unauthenticated: true, errs.Forbidden: true, errs.NotFound: true, errs.Conflict: true,
		errs.Precondition: true, errs.TooLarge: true, errs.Unsupported: true, errs.Invalid: true, errs.RateLimited: true,
		errs.Internal: false, errs.Upstream: false, errs.Unavailable: false, errs.Timeout: false,
	} {
		if kind.Refusal() != refusal {
			t.Errorf("%s: refusal %v, want %v", kind, kind.Refusal(), refusal)
		}
	}
}

func TestAnErrorIsTheSameWhenKindAndMessageAre(t *testing.T) {
	t.Parallel()
	gone := errs.New(errs.NotFound, "project not found")
	for _, err := range []error{
		gone,
		fmt.Errorf("get project 7: %w", gone),
		gone.Because(io.EOF),
		gone.After(time.Second),
	} {
		if !errors.Is(err, gone) {
			t.Errorf("%v is not %v", err, gone)
		}
	}
	for _, err := range []error{errs.New(errs.NotFound, "document not found"), errs.New(errs.Conflict, "project not found"), io.EOF} {
		if errors.Is(err, gone) {
			t.Errorf("%v is %v", err, gone)
		}
	}
}

func TestACauseIsKeptForLogsAndTheMessageForTheCaller(t *testing.T) {
	t.Parallel()
	for _, err := range []*errs.Error{
		errs.Wrap(errs.Unavailable, io.ErrUnexpectedEOF, "the database is away"),
		errs.New(errs.Unavailable, "the database is away").Because(io.ErrUnexpectedEOF),
	} {
		if err.Msg != "the database is away" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("message %q, cause %v", err.Msg, errors.Unwrap(err))
		}
		if got, want := err.Error(), "the database is away: unexpected EOF"; got != want {
			t.Errorf("for logs: %q, want %q", got, want)
		}
	}
	if err := errs.Newf(errs.Malformed, "read the body: %w", io.EOF); err.Msg != "read the body: EOF" || err.Error() != err.Msg || !errors.Is(err, io.EOF) {
		t.Errorf("Newf: %q, cause %v", err.Msg, errors.Unwrap(err))
	}
	if err := errs.New(errs.Conflict, "taken"); err.Error() != "taken" {
		t.Errorf("without a cause: %q", err.Error())
	}
}

func TestACopyWithMoreLeavesTheDeclaredErrorAlone(t *testing.T) {
	t.Parallel()
	busy := errs.New(errs.Unavailable, "busy")
	later := busy.After(3 * time.Second)
	if later.RetryAfter != 3*time.Second || busy.RetryAfter != 0 {
		t.Errorf("retry after %v and %v", later.RetryAfter, busy.RetryAfter)
	}
	if busy.Because(io.EOF); errors.Unwrap(busy) != nil {
		t.Errorf("the declared error got a cause: %v", errors.Unwrap(busy))
	}
}

func TestAnInvalidFieldSaysWhereAndWhat(t *testing.T) {
	t.Parallel()
	err := errs.InvalidField("string_too_long", "name has at most 255 characters", "body", "name")
	if err.Kind != errs.Invalid || len(err.Fields) != 1 {
		t.Fatalf("got %+v", err)
	}
	if f := err.Fields[0]; f.Type != "string_too_long" || f.Msg != err.Msg || fmt.Sprint(f.Loc...) != "bodyname" {
		t.Errorf("field %+v", f)
	}
}

func TestAnyErrorHasAKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want errs.Kind
	}{
		{nil, ""},
		{io.EOF, errs.Internal},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), errs.Timeout},
		{fmt.Errorf("ask: %w", context.Canceled), errs.Unavailable},
		{fmt.Errorf("ask: %w", errs.New(errs.Forbidden, "no")), errs.Forbidden},
		{errors.Join(io.EOF, errs.New(errs.Conflict, "taken")), errs.Conflict},
	} {
		if got := errs.KindOf(c.err); got != c.want {
			t.Errorf("%v: kind %q, want %q", c.err, got, c.want)
		}
	}
	if e := errs.As(io.EOF); e.Msg == io.EOF.Error() || !errors.Is(e, io.EOF) {
		t.Errorf("a plain error is told to the caller: %q", e.Msg)
	}
	if errs.As(nil) != nil {
		t.Error("no error is an error")
	}
}

func TestWhatAFaultWrapsIsNotPublic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  *errs.Error
		want string
	}{
		{errs.Newf(errs.Unavailable, "object store: %w", io.EOF), "object store"},
		{errs.Newf(errs.Unavailable, "%w", io.EOF), "not available at the moment"},
		{errs.New(errs.Unavailable, "no model: set one"), "no model: set one"},
		{errs.Wrap(errs.Upstream, io.EOF, "the provider broke off"), "the provider broke off"},
		{errs.Newf(errs.Malformed, "line 3: %w", io.ErrUnexpectedEOF), "line 3: unexpected EOF"},
	} {
		if got := c.err.Public(); got != c.want {
			t.Errorf("%q is public as %q, want %q", c.err.Msg, got, c.want)
		}
	}
}
