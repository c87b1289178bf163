package serve

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// preferences are what a caller prefers, of what is honoured here (RFC 7240).
type preferences struct {
	async bool           // respond-async
	wait  *time.Duration // nil: not said
}

// preferencesOf reads the lines of Prefer. Of a preference that is said twice
// the first counts; what is not understood is left aside, as the RFC wants it.
func preferencesOf(lines []string) (p preferences) {
	for _, line := range lines {
		for _, item := range splitUnquoted(line, ',') {
			name, value, _ := strings.Cut(splitUnquoted(item, ';')[0], "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				if d, ok := seconds(value); ok && p.wait == nil {
					p.wait = &d
				}
			}
		}
	}
	return p
}

// splitUnquoted splits at a separator that is not within quotes.
func splitUnquoted(s string, sep byte) (parts []string) {
	quoted, from := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// seconds reads a number of seconds; one that is too large is a day.
func seconds(s string) (time.Duration, bool) {
	const most = 24 * 60 * 60
	if !isDigits(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > most {
		n = most
	}
	return time.Duration(n) * time.Second, true
}

// commandWait is how long a write is waited for: as the operation says, or as
// the caller prefers, within the bound of this instance.
func (s *Edge) commandWait(p preferences, op *contract.Operation) time.Duration {
	switch {
	case p.wait != nil:
		return min(*p.wait, s.c.MaxWait)
	case p.async:
		return 0
	case op.Timeout > 0:
		return op.Timeout
	}
	return s.c.CommandWait
}

// applied tells which preferences were honoured.
func applied(h http.Header, p preferences, wait time.Duration, async bool) {
	var said []string
	if p.async && async {
		said = append(said, "respond-async")
	}
	if p.wait != nil {
		said = append(said, "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	if len(said) > 0 {
		h["Preference-Applied"] = []string{strings.Join(said, ", ")}
	}
}

// patient makes room for a long wait: the deadlines of the call move, and it is
// one of the caller's streams instead of a call in hand, so that whoever waits
// keeps nobody else out. done ends it.
func (s *Edge) patient(c echo.Context, who string, wait time.Duration) (done func(), err error) {
	if err := s.streams.enter(who); err != nil {
		return nil, err
	}
	rc := http.NewResponseController(c.Response().Writer)
	// See steady.Read. The whole request is here: nothing more is read.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(s.now().Add(wait + s.c.RequestTimeout + time.Minute))
	s.busy.Add(-1)
	callOf(c).long = true
	return func() {
		s.busy.Add(1)
		s.streams.leave(who)
	}, nil
}

// keyOf is the caller's Idempotency-Key, "" when there is none. The draft of the
// IETF wants it quoted; with quotes and without it is the same key. One that is
// empty, or there twice, is refused: its caller believes to be safe.
func keyOf(h http.Header) (string, error) {
	sent := h.Values(contract.HeaderIdempotency)
	if len(sent) == 0 {
		return "", nil
	}
	if len(sent) > 1 {
		return "", errs.InvalidField("value_error", "there may be one key, not several", "header", contract.HeaderIdempotency)
	}
	key := sent[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(key[1 : len(key)-1])
	}
	if key == "" {
		return "", errs.InvalidField("string_too_short", "String should have at least 1 character", "header", contract.HeaderIdempotency)
	}
	if len(key) > maxKey {
		return "", errs.InvalidField("string_too_long", "String should have at most 255 characters", "header", contract.HeaderIdempotency)
	}
	return key, nil
}
