package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// brokenAfter is an output that fails after some writes.
type brokenAfter struct {
	writes int
	err    error
}

func (b *brokenAfter) Write(p []byte) (int, error) {
	if b.writes--; b.writes < 0 {
		return 0, fmt.Errorf("write: %w", b.err)
	}
	return len(p), nil
}

func TestAnAnswerThatCouldNotBeWrittenIsAFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		out  brokenAfter
		args []string
		want string
	}{
		"a disk is full":           {brokenAfter{0, syscall.ENOSPC}, []string{"exit-codes"}, "the answer could not be written: write: no space left"},
		"in the middle":            {brokenAfter{2, syscall.ENOSPC}, []string{"exit-codes"}, "the answer could not be written"},
		"a table":                  {brokenAfter{0, syscall.ENOSPC}, []string{"config", "list"}, "the answer could not be written"},
		"as JSON":                  {brokenAfter{0, syscall.ENOSPC}, []string{"version", "--json"}, `{"error":"the answer could not be written`},
		"help":                     {brokenAfter{0, syscall.ENOSPC}, []string{"search", "--help"}, "the answer could not be written"},
		"completion":               {brokenAfter{0, syscall.ENOSPC}, []string{"completion", "bash"}, "the answer could not be written"},
		"nobody reads any more":    {brokenAfter{1, syscall.EPIPE}, []string{"exit-codes"}, ""},
		"nobody reads, as a table": {brokenAfter{0, syscall.EPIPE}, []string{"config", "list"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var errs bytes.Buffer
			code := Run(t.Context(), c.args, Streams{In: strings.NewReader(""), Out: &c.out, Err: &errs})
			if code != exitFailure || c.want == "" && errs.Len() > 0 || !strings.Contains(errs.String(), c.want) || strings.Count(errs.String(), "written") > 1 {
				t.Errorf("exit code %d, want 1: %s", code, &errs)
			}
		})
	}
}

func TestAFailureOfTheCommandIsNotHiddenByOneOfItsOutput(t *testing.T) {
	t.Parallel()
	for _, lost := range []error{syscall.EPIPE, syscall.ENOSPC} {
		e := &env{Streams: Streams{Out: &answer{w: &brokenAfter{0, lost}}}}
		e.line("some of it")
		quiet, err := e.conclude(partlyError{errors.New("2 of 3 files failed")})
		if quiet || exitCode(err) != exitPartly || !strings.Contains(err.Error(), "2 of 3") || strings.Contains(err.Error(), "written") != errors.Is(lost, syscall.ENOSPC) {
			t.Errorf("%v: %v, quiet %t", lost, err, quiet)
		}
	}
}

func TestATableThatATerminalIsTooNarrowForPutsItsLastColumnBelow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		width int
		want  string
	}{
		"no terminal":    {0, "NAME   STATE   ID\none    online  0123456789-0123456789\nthree  off\n"},
		"wide enough":    {80, "NAME   STATE   ID\none    online  0123456789-0123456789\nthree  off\n"},
		"far too narrow": {10, "NAME   STATE   ID\none    online  0123456789-0123456789\nthree  off\n"},
		"too narrow":     {20, "NAME   STATE\n  ID\none    online\n  0123456789-0123456789\nthree  off\n"},
	} {
		var out bytes.Buffer
		table := newTable(&out, "NAME", "STATE", "ID")
		table.width = c.width
		table.row("one", "online", "0123456789-0123456789")
		table.row("three", "off", "")
		if err := table.flush(); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}
