package serve

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/limit"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

// Limits counts calls; *limit.Shared does so for all gateways together.
type Limits interface {
	Take(ctx context.Context, key limit.Key, n int, per time.Duration) limit.Decision
	// Give takes back a call that was let through.
	Give(ctx context.Context, key limit.Key, n int, per time.Duration) limit.Decision
}

// alone counts for one process.
type alone struct {
	*limit.Limiter
	now func() time.Time
}

func (a alone) Take(_ context.Context, key limit.Key, n int, per time.Duration) limit.Decision {
	return a.Limiter.Take(a.now(), key, n, per)
}

func (a alone) Give(_ context.Context, key limit.Key, n int, per time.Duration) limit.Decision {
	return a.Limiter.Give(a.now(), key, n, per)
}

// class is calls that are limited together.
type class struct {
	name   string         // as callers read it
	rule   string         // under which it is counted
	rate   *contract.Rate // nil: no limit
	policy []string       // of RateLimit-Policy
}

func newClass(name, rule string, r *contract.Rate) *class {
	c := &class{name: name, rule: rule, rate: r}
	if r != nil {
		c.policy = []string{`"` + name + `";q=` + strconv.Itoa(r.N) + ";w=" + strconv.FormatInt(int64(r.Per/time.Second), 10)}
	}
	return c
}

// Pages and probes are cheaper than calls: the documentation alone is a handful
// of files, and machines ask often whether a gateway is there.
const (
	pagesPerCall  = 10
	probesPerCall = 100
)

// The classes that a project can have limits of its own for.
const (
	classReads  = "reads"
	classWrites = "writes"
)

// setLimit is the operation that gives a project one; what the instance's are is
// known here alone.
const setLimit = "setLimit"

// classes are the limits of an instance.
type classes struct {
	unauthenticated, anonymous, pages, probes *class // per address
	reads, writes                             *class // per user

	operations map[string]contract.Rate // of operations with a limit of their own, where the instance says otherwise

	own *sync.Map // of projects: rule -> *class, as it was when it was last used
}

func newClasses(c Config) classes {
	times := func(n int) *contract.Rate {
		if c.Anonymous == nil {
			return nil
		}
		return &contract.Rate{N: n * c.Anonymous.N, Per: c.Anonymous.Per}
	}
	named := func(name string, r *contract.Rate) *class { return newClass(name, name, r) }
	return classes{
		unauthenticated: named("unauthenticated", c.Anonymous), anonymous: named("anonymous", c.Anonymous),
		pages: named("pages", times(pagesPerCall)), probes: named("probes", times(probesPerCall)),
		reads: named(classReads, c.Reads), writes: named(classWrites, c.Writes),
		operations: c.Operations, own: &sync.Map{},
	}
}

// of says which class the calls of an operation are in: its own when the
// contract gives it a rate, else the one of its kind.
func (cs classes) of(op *contract.Operation) *class {
	public := op.Permission == contract.Public
	switch {
	case op.Rate != nil:
		r := *op.Rate
		if said, ok := cs.operations[op.ID]; ok {
			r = said
		}
		return newClass(op.ID, op.ID, &r)
	case public && op.Delivery == contract.Edge && health[op.ID] && op.ID != "detailedHealthCheck": // which asks every service
		return cs.probes
	case public && op.Delivery == contract.Edge:
		return cs.pages
	case public:
		return cs.anonymous
	case op.Reads():
		return cs.reads
	}
	return cs.writes
}

// in is the class as the project of st has it. What an admin has set lowers a
// limit of the instance, what a superuser has set replaces it.
func (cs classes) in(c *class, st access.Standing) *class {
	set, ok := st.Limits[c.name]
	if !ok {
		return c
	}
	r := contract.Rate{N: set.Calls, Per: set.Per}
	if !set.Raised && c.rate != nil && faster(r, *c.rate) {
		return c
	}
	rule := ruleOf(c.name, st.Project)
	if own, ok := cs.own.Load(rule); ok && *own.(*class).rate == r {
		return own.(*class)
	}
	own := newClass(c.name, rule, &r)
	cs.own.Store(rule, own)
	return own
}

// counters are the classes by which a call is counted: that of the project, and that
// of the instance beside it, or whoever is in many projects would have many times as
// much. What a superuser has set takes the place of the instance's.
func (cs classes) counters(c *class, st access.Standing) []*class {
	own := cs.in(c, st)
	if own == c || st.Limits[c.name].Raised {
		return []*class{own}
	}
	return []*class{c, own}
}

func ruleOf(name string, p tenant.Project) string { return name + "@" + p.Token() }

// forget drops the classes of a project, which are made anew when they are needed.
func (cs classes) forget(p tenant.Project) {
	for _, c := range []*class{cs.reads, cs.writes} {
		cs.own.Delete(ruleOf(c.name, p))
	}
}

// faster reports whether a lets through as much as b, or more.
func faster(a, b contract.Rate) bool {
	return float64(a.N)*float64(b.Per) >= float64(b.N)*float64(a.Per)
}

// within refuses a limit of a project that lets through more than the instance
// does: it would be kept and change nothing. A superuser's takes its place.
func (cs classes) within(who tenant.Identity, payload []byte) error {
	var q struct {
		Class string `json:"class"`
		Body  struct {
			Limit string `json:"limit"`
		} `json:"body"`
	}
	if err := json.Unmarshal(payload, &q); err != nil {
		return errs.Newf(errs.Internal, "limit: %w", err)
	}
	want, err := contract.ParseRate(q.Body.Limit)
	if err != nil || who.Superuser {
		return nil //nolint:nilerr // the service says what is wrong with it
	}
	for _, c := range []*class{cs.reads, cs.writes} {
		if c.name == q.Class && c.rate != nil && !faster(*c.rate, want) {
			return errs.InvalidField("too_high", "the limit of the instance is "+c.rate.Text()+", and a superuser alone sets a higher one", "body", "limit")
		}
	}
	return nil
}

// limit counts a call of who and refuses it above the rate of any of its classes. The
// headers say which has least left; they are those of the contract, and those of the IETF's draft
// (draft-ietf-httpapi-ratelimit-headers).
func (s *Edge) limit(ctx context.Context, h http.Header, who string, of ...*class) error {
	least := math.MaxInt
	for _, c := range of {
		r := c.rate
		if r == nil {
			continue
		}
		d := s.limits.Take(ctx, limit.Key{Rule: c.rule, Who: who}, r.N, r.Per)
		if !d.OK || d.Remaining < least {
			c.say(h, d)
			least = d.Remaining
		}
		if !d.OK {
			s.m.limited.WithLabelValues(c.name).Inc()
			return errs.New(errs.RateLimited, "Rate limit exceeded: "+r.String()).After(d.Wait)
		}
	}
	return nil
}

// spare gives a call back that was refused with err, where the contract says that
// only some refusals of the operation count: what cost nothing uses nothing up.
// It was counted as a call of its address as well, and stays so.
func (s *Edge) spare(c echo.Context, rt *route, err error) {
	counted := rt.op.Refusals
	if counted == nil || rt.class.rate == nil {
		return
	}
	status := problem.StatusOf(err)
	if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable || slices.Contains(counted, status) {
		return
	}
	// The caller may be gone, and what it has not used up is everybody's there.
	ctx := context.WithoutCancel(c.Request().Context())
	r := rt.class.rate
	rt.class.say(c.Response().Header(), s.limits.Give(ctx, limit.Key{Rule: rt.class.rule, Who: bucket(callOf(c).addr)}, r.N, r.Per))
}

// say tells a caller how many calls are left.
func (c *class) say(h http.Header, d limit.Decision) {
	left, reset := strconv.Itoa(d.Remaining), strconv.FormatInt(roundUp(d.Reset), 10)
	h["Ratelimit-Limit"] = []string{strconv.Itoa(d.Limit)}
	h["Ratelimit-Remaining"] = []string{left}
	h["Ratelimit-Reset"] = []string{reset}
	h["Ratelimit-Policy"] = c.policy
	h["Ratelimit"] = []string{`"` + c.name + `";r=` + left + ";t=" + reset}
}

// roundUp returns seconds: who comes back then is not early.
func roundUp(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// listLimits answers what holds in the caller's project, and why.
func (s *Edge) listLimits(c echo.Context, _ *contract.Operation, who tenant.Identity, _ []byte) error {
	type row struct {
		Class    string  `json:"class"`
		Limit    *string `json:"limit"`
		Instance *string `json:"instance"`
		Project  *string `json:"project"`
		Raised   bool    `json:"raised"`
	}
	word := func(r *contract.Rate) *string {
		if r == nil {
			return nil
		}
		text := r.Text()
		return &text
	}
	limits := callOf(c).limits
	out := make([]row, 0, 2)
	for _, of := range []*class{s.classes.reads, s.classes.writes} {
		r := row{Class: of.name, Instance: word(of.rate)}
		r.Limit = word(s.classes.in(of, access.Standing{Project: who.Project, Limits: limits}).rate)
		if set, ok := limits[of.name]; ok {
			r.Project, r.Raised = word(&contract.Rate{N: set.Calls, Per: set.Per}), set.Raised
		}
		out = append(out, r)
	}
	return s.writeJSON(c, http.StatusOK, out)
}
