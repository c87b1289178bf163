package serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
)

// Bounds of one page of history, beside the caller's own limit.
const (
	mostLooked = 20_000  // facts of the filter looked at
	mostShown  = 4 << 20 // bytes
)

// facts is what the edge asks of the bus about what was said.
type facts interface {
	Facts(ctx context.Context, f bus.FactFilter, from bus.From, fn func(bus.Said) bool) (bus.Position, error)
	KeptFacts(ctx context.Context) (bus.Kept, error)
}

// choice is what a caller wants to see, as the contract names it.
type choice struct {
	Service   string     `json:"service"`
	Noun      string     `json:"noun"`
	Fact      string     `json:"fact"`
	Aggregate string     `json:"aggregate_id"`
	Internal  bool       `json:"internal"`
	Since     *time.Time `json:"since"`
	Until     *time.Time `json:"until"`
	Limit     int        `json:"limit"`
	Cursor    string     `json:"cursor"`
	After     string     `json:"after"`
}

// chosen reads the parameters. What is not public may be seen by who runs the
// project, since it tells of persons and sessions.
func chosen(params []byte, who tenant.Identity) (choice, feed.Filter, error) {
	var x choice
	if err := json.Unmarshal(closed(open(params)), &x); err != nil {
		return x, feed.Filter{}, errs.Newf(errs.Internal, "parameters: %w", err)
	}
	f := feed.Filter{Project: who.Project, Service: x.Service, Noun: x.Noun, Fact: x.Fact, Aggregate: x.Aggregate, Internal: x.Internal}
	return x, f, allowed(f, who)
}

func allowed(f feed.Filter, who tenant.Identity) error {
	if f.Internal && permit(contract.Admin, who) != nil {
		return errs.New(errs.Forbidden, "Facts that are not public are shown to an admin of the project")
	}
	return nil
}

// stored is the part of the filter that selects in the stream itself.
func stored(f feed.Filter) bus.FactFilter {
	return bus.FactFilter{Project: f.Project, Service: f.Service, Noun: f.Noun, Fact: f.Fact}
}

type history struct {
	Events     []json.RawMessage `json:"events"`
	NextCursor *string           `json:"next_cursor"`
	Position   string            `json:"position"`
}

// listEvents shows what was said in a project, oldest first.
func (s *Edge) listEvents(c echo.Context, _ *contract.Operation, who tenant.Identity, params []byte) error {
	x, f, err := chosen(params, who)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.c.RequestTimeout)
	defer cancel()
	from, err := s.beginning(ctx, x)
	if err != nil {
		return err
	}
	leave, err := s.readings.enter(ctx, who.Principal, nil)
	if err != nil {
		return err
	}
	out := history{Events: []json.RawMessage{}}
	looked, size, more := 0, 0, false
	var end *bus.Position // before the first fact that is too late
	at, err := s.bus.Facts(ctx, stored(f), from, func(said bus.Said) bool {
		if x.Until != nil && said.Time.After(*x.Until) {
			end = &bus.Position{Created: said.Position.Created, Seq: said.Position.Seq - 1}
			return false
		}
		looked++
		if fact, ok := feed.Read(said); ok && f.Wants(&fact) {
			out.Events = append(out.Events, fact.JSON)
			size += len(fact.JSON)
		}
		more = len(out.Events) >= x.Limit || looked >= mostLooked || size >= mostShown
		return !more
	})
	leave() // the answer may be taken slowly
	if err != nil {
		return err
	}
	if end != nil {
		at = *end
	}
	out.Position = at.String()
	if more {
		next := cursor(at, x)
		out.NextCursor = &next
	}
	return s.writeJSON(c, http.StatusOK, out)
}

// beginning is where a page begins.
func (s *Edge) beginning(ctx context.Context, x choice) (bus.From, error) {
	switch {
	case x.Cursor != "":
		p, err := uncursor(x)
		return bus.From{After: p}, err
	case x.After != "":
		p, err := bus.ParsePosition(x.After)
		if err != nil {
			return bus.From{}, errs.InvalidField("value_error", "Not a position in the stream of facts", "query", "after")
		}
		return bus.From{After: p}, nil
	case x.Since != nil:
		return bus.From{Since: *x.Since}, nil
	}
	kept, err := s.bus.KeptFacts(ctx)
	return bus.From{After: kept.Start}, err
}

// cursor names a place together with the question that it belongs to.
func cursor(p bus.Position, x choice) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.String() + "/" + question(x)))
}

func question(x choice) string {
	h := fnv.New32a()
	until := ""
	if x.Until != nil {
		until = stamp(*x.Until)
	}
	_, _ = fmt.Fprintf(h, "%q %q %q %q %t %s", x.Service, x.Noun, x.Fact, x.Aggregate, x.Internal, until) // a hash takes everything
	return fmt.Sprintf("%08x", h.Sum32())
}

func uncursor(x choice) (bus.Position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(x.Cursor)
	place, of, ok := strings.Cut(string(raw), "/")
	if err == nil && ok && of == question(x) {
		if p, err := bus.ParsePosition(place); err == nil {
			return p, nil
		}
	}
	return bus.Position{}, errs.InvalidField("value_error", "Not a cursor of this question: send the same filter with it", "query", "cursor")
}
