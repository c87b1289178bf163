package serve

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

var (
	errNoOperation = errs.New(errs.NotFound, "Operation not found")
	errKeyAlone    = errs.New(errs.Forbidden, "An API key acts in its project alone: ask for operations of the instance with a session")
)

// operationID names a command to its caller: the project comes before what the
// bus calls it, so that its state can be asked for without any other header.
func operationID(p tenant.Project, id string) string { return p.Token() + "." + id }

// operations is what the edge asks of the bus about commands.
type operations interface {
	Operation(ctx context.Context, who tenant.Identity, operationID string) (*bus.OperationState, error)
	Operations(ctx context.Context, who tenant.Identity, page bus.OperationsPage) (*bus.Operations, error)
}

// getOperation tells how a command went, to everybody in its project; one of
// the instance, to its caller. Who gave it is told the end also when it was the
// end of its own place there, but nothing that the project says. To all others
// there is none.
func (s *Edge) getOperation(c echo.Context, _ *contract.Operation, who tenant.Identity, _ []byte) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.c.RequestTimeout)
	defer cancel()
	full := c.ParamValues()[0]
	token, id, ok := strings.Cut(full, ".")
	p, err := tenant.ParseToken(token)
	// What is not a service of ours is not asked: callers would name routes and
	// metrics of their own.
	if service, _, _ := strings.Cut(id, "."); !ok || err != nil || !s.durable[service] {
		return errNoOperation
	}
	outside := false
	if p == tenant.Instance && who.Key != "" {
		return errNoOperation
	}
	if p != tenant.Instance {
		claims, err := s.claims(ctx, c.Request())
		if err != nil {
			return err
		}
		standing, err := s.guard.Standing(ctx, claims, p)
		if err != nil {
			return err
		}
		if outside = standing.Project != p; outside && claims.Key != nil {
			return errNoOperation
		}
		who.Project, who.Role = p, standing.Role
		if outside {
			who.Role = tenant.NoRole
		}
	}
	state, err := s.bus.Operation(ctx, who, id)
	if err == nil && outside && state.Principal != who.Principal {
		return errNoOperation
	}
	if err == nil && state.Pending {
		state, err = s.awaitOperation(c, who, id, state)
	}
	if errs.KindOf(err) == errs.NotFound {
		return errNoOperation
	}
	if err != nil {
		return err
	}
	o := s.outcome(c, full, state)
	if outside {
		o.Answer = nil
	}
	return s.writeJSON(c, http.StatusOK, o)
}

// Pauses between two askings for an operation that somebody waits for.
const (
	soonest = 20 * time.Millisecond
	latest  = time.Second
)

// awaitOperation asks for a pending operation until it has ended, or for as
// long as the caller wants to wait.
func (s *Edge) awaitOperation(c echo.Context, who tenant.Identity, id string, state *bus.OperationState) (*bus.OperationState, error) {
	r := c.Request()
	prefer := preferencesOf(r.Header["Prefer"])
	wait, asked := seconds(c.QueryParam("wait"))
	if !asked && prefer.wait != nil {
		wait = *prefer.wait
	}
	wait = min(wait, s.c.MaxWait)
	if !asked {
		applied(c.Response().Header(), prefer, wait, false)
	}
	if wait <= 0 {
		return state, nil
	}
	done, err := s.patient(c, who.Principal, wait)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	for pause := soonest; state.Pending; pause = min(pause*3/2, latest) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.drain:
			timer.Stop()
			return state, nil
		case <-ctx.Done():
			timer.Stop()
			return state, nil
		}
		now, err := s.bus.Operation(ctx, who, id)
		if ctx.Err() != nil {
			return state, nil // as it was known last
		}
		if err != nil {
			return nil, err
		}
		state = now
	}
	return state, nil
}

// outcome is the state of a command in the words of the contract: what the
// call would have answered, failure or not. While it is pending there is none:
// what its service has said so far may read like success.
func (s *Edge) outcome(c echo.Context, id string, st *bus.OperationState) operation {
	o := operation{summary: summaryOf(id, st)}
	switch {
	case st.Pending:
	case st.Err != nil:
		o.Answer = problem.From(st.Err, c.Request().URL.Path, callOf(c).id).Body
	case st.Answer != nil && len(st.Answer.Body) > 0:
		o.Answer = st.Answer.Body
	}
	return o
}

func summaryOf(id string, st *bus.OperationState) summary {
	o := summary{ID: id, Operation: st.Operation, Status: string(outbox.Pending), CreatedBy: st.Principal, AcceptedAt: st.AcceptedAt.UTC()}
	if !st.StartedAt.IsZero() {
		started := st.StartedAt.UTC()
		o.StartedAt = &started
	}
	if st.Pending {
		o.Progress = st.Progress
		return o
	}
	finished, status := st.FinishedAt.UTC(), http.StatusOK
	o.FinishedAt, o.HTTPStatus = &finished, &status
	if st.Err != nil {
		o.Status, status = string(outbox.Failed), problem.Status(errs.KindOf(st.Err))
		return o
	}
	if o.Status = string(outbox.Succeeded); st.Answer != nil {
		status = st.Answer.Status
	}
	return o
}

// listOperations tells of the latest commands of a project, or of those of the caller
// that are of none.
func (s *Edge) listOperations(c echo.Context, _ *contract.Operation, who tenant.Identity, params []byte) error {
	var q struct {
		Status outbox.State `json:"status"`
		Limit  int          `json:"limit"`
		Cursor string       `json:"cursor"`
	}
	if err := json.Unmarshal(closed(open(params)), &q); err != nil {
		return err
	}
	page := bus.OperationsPage{State: q.Status, Limit: q.Limit, Services: slices.Sorted(maps.Keys(s.durable))}
	if q.Cursor != "" {
		var ok bool
		if page.Before, page.BeforeID, ok = readCursor(q.Cursor); !ok {
			return errs.InvalidField("value_error", "not the `next` of a page", "query", "cursor")
		}
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.c.RequestTimeout)
	defer cancel()
	found, err := s.bus.Operations(ctx, who, page)
	if err != nil {
		return err
	}
	out := operationPage{Items: make([]summary, len(found.List)), Complete: found.Complete}
	for i := range found.List {
		out.Items[i] = summaryOf(operationID(who.Project, found.List[i].ID), &found.List[i])
	}
	if found.More {
		next := cursorOf(found.List[len(found.List)-1])
		out.Next = &next
	}
	return s.writeJSON(c, http.StatusOK, out)
}

// cursorOf names the last operation of a page: when it was accepted, in
// microseconds, and its id.
func cursorOf(o bus.OperationState) string {
	_, id, _ := strings.Cut(o.ID, ".")
	return strconv.FormatInt(o.AcceptedAt.UnixMicro(), 36) + "." + id
}

func readCursor(text string) (at time.Time, id uuid.UUID, ok bool) {
	micros, rest, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(micros, 36, 64)
	id, ierr := uuid.Parse(rest)
	const year = 365 * 24 * 60 * 60 * 1_000_000
	return time.UnixMicro(n), id, err == nil && ierr == nil && n > 0 && n < 1000*year
}

// summary is the contract's OperationSummary.
type summary struct {
	ID         string           `json:"id"`
	Operation  string           `json:"operation"`
	Status     string           `json:"status"`
	HTTPStatus *int             `json:"http_status"`
	CreatedBy  string           `json:"created_by"`
	AcceptedAt time.Time        `json:"accepted_at"`
	StartedAt  *time.Time       `json:"started_at"`
	FinishedAt *time.Time       `json:"finished_at"`
	Progress   *outbox.Progress `json:"progress"`
}

// operation is the contract's Operation.
type operation struct {
	summary
	Answer json.RawMessage `json:"answer"`
}

// operationPage is the contract's OperationPage.
type operationPage struct {
	Items    []summary `json:"items"`
	Next     *string   `json:"next"`
	Complete bool      `json:"complete"`
}
