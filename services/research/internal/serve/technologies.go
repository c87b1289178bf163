package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// answer is a technology as the contract shows it: what is said of it, and where
// that puts it on the radar.
type answer struct {
	technology.Technology
	RadarRing     technology.Ring     `json:"radar_ring"`
	RadarQuadrant technology.Quadrant `json:"radar_quadrant"`
}

func shown(x technology.Technology) answer { return answer{x, x.OnRing(), x.InQuadrant()} }

// Headers tells the version, for If-Match.
func (a answer) Headers() map[string]string {
	return tagged(a.Version)
}

// created is the answer 201.
type created struct{ answer }

// StatusCode says that the technology is new.
func (created) StatusCode() int { return http.StatusCreated }

// Headers says where the technology is.
func (c created) Headers() map[string]string {
	h := c.answer.Headers()
	h["Location"] = "/api/v1/technologies/" + strconv.FormatInt(c.ID, 10)
	return h
}

type createTechnology struct {
	Body json.RawMessage `json:"body"`
}

func (h *Handlers) create(ctx context.Context, r createTechnology) (created, error) {
	who, err := member(ctx)
	if err != nil {
		return created{}, err
	}
	d := technology.New()
	if err := into(&d, r.Body); err != nil {
		return created{}, err
	}
	x, err := h.Book.Add(ctx, who.Project, d, who.Principal)
	return created{shown(x)}, err
}

type oneTechnology struct {
	ID int64 `json:"technology_id"`
}

func (h *Handlers) get(ctx context.Context, r oneTechnology) (answer, error) {
	x, err := h.Book.Get(ctx, tenant.From(ctx).Project, r.ID)
	return shown(x), err
}

type updateTechnology struct {
	oneTechnology
	IfMatch string          `json:"If-Match"`
	Body    json.RawMessage `json:"body"`
}

func (h *Handlers) update(ctx context.Context, r updateTechnology) (answer, error) {
	who, err := member(ctx)
	if err != nil {
		return answer{}, err
	}
	version, err := matched(r.IfMatch, technology.ErrMoved)
	if err != nil {
		return answer{}, err
	}
	x, err := h.Book.Change(ctx, who.Project, r.ID, version, who.Principal, func(d *technology.Draft) error { return into(d, r.Body) })
	return shown(x), err
}

func (h *Handlers) remove(ctx context.Context, r oneTechnology) (struct{}, error) {
	who := tenant.From(ctx)
	if !who.Superuser && !who.Role.Allows(tenant.Admin) {
		return struct{}{}, errAdmin
	}
	return struct{}{}, h.Book.Delete(ctx, who.Project, r.ID)
}

type listTechnologies struct {
	Domain technology.Domain `json:"domain"`
	Status technology.Status `json:"status"`
	Ring   technology.Ring   `json:"ring"`
	Search string            `json:"search"`
	Skip   int               `json:"skip"`
	Limit  int               `json:"limit"`
}

// page is the list as the existing web client wants it.
type page struct {
	Total    int      `json:"total"`
	Items    []answer `json:"items"`
	Page     int      `json:"page"` // from 1
	PageSize int      `json:"page_size"`
}

func (h *Handlers) list(ctx context.Context, r listTechnologies) (page, error) {
	if r.Limit < 1 {
		return page{}, errs.InvalidField("greater_than_equal", "limit is at least 1", "query", "limit")
	}
	all, total, err := h.Book.List(ctx, tenant.From(ctx).Project, technology.Filter(r))
	out := page{Total: total, Items: make([]answer, len(all)), Page: r.Skip/r.Limit + 1, PageSize: r.Limit}
	for i, x := range all {
		out.Items[i] = shown(x)
	}
	return out, err
}

// history is the moves of a technology.
type history struct {
	Items []technology.Move `json:"items"`
}

func (h *Handlers) moves(ctx context.Context, r oneTechnology) (history, error) {
	moves, err := h.Book.Moves(ctx, tenant.From(ctx).Project, r.ID)
	return history{moves}, err
}

// kept are the fields of a technology that cannot be made nothing.
var kept = []string{"domain", "status", "relevance_score", "priority"}

// into writes what a body says over a draft, and leaves the rest as it is.
func into(d *technology.Draft, body []byte) error {
	all, err := said(body, "a technology has a title", kept)
	if err != nil {
		return err
	}
	if _, ok := all["dependencies"]; ok {
		d.Dependencies = nil // a map would be added to
	}
	return over(d, all)
}
