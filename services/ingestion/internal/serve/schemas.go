package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

var errAdmin = errs.New(errs.Forbidden, "this takes an admin of the project")

// admin looks again: a command may have waited since the edge did.
func admin(ctx context.Context) (tenant.Identity, error) {
	who := tenant.From(ctx)
	if !who.Superuser && !who.Role.Allows(tenant.Admin) {
		return who, errAdmin
	}
	return who, nil
}

type registerSchema struct {
	Body struct {
		Team    string          `json:"team"`
		Noun    string          `json:"noun"`
		Fact    string          `json:"fact"`
		Version int             `json:"version"`
		Schema  json.RawMessage `json:"schema"`
	} `json:"body"`
}

// registered answers 201 when the schema is new.
type registered struct {
	EventSchema
	made bool
}

// StatusCode is 201, or 200 for what was registered before.
func (r registered) StatusCode() int {
	if r.made {
		return http.StatusCreated
	}
	return http.StatusOK
}

// Headers says where the schema is.
func (r registered) Headers() map[string]string {
	return map[string]string{"Location": "/api/v1/events/schemas/" + strconv.FormatInt(r.Id, 10)}
}

func (h *Handlers) register(ctx context.Context, r registerSchema) (registered, error) {
	who, err := admin(ctx)
	if err != nil {
		return registered{}, err
	}
	n := schema.Name{Team: r.Body.Team, Noun: r.Body.Noun, Fact: r.Body.Fact, Version: r.Body.Version}
	s, made, err := h.Book.Register(ctx, who.Project, n, r.Body.Schema, who.Principal)
	if err != nil {
		return registered{}, err
	}
	x, err := wire(who.Project, s)
	return registered{x, made}, err
}

type oneSchema struct {
	ID int64 `json:"schema_id"`
}

func (h *Handlers) get(ctx context.Context, r oneSchema) (EventSchema, error) {
	p := tenant.From(ctx).Project
	s, err := h.Book.Get(ctx, p, r.ID)
	if err != nil {
		return EventSchema{}, err
	}
	return wire(p, s)
}

func (h *Handlers) remove(ctx context.Context, r oneSchema) (struct{}, error) {
	who, err := admin(ctx)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Book.Delete(ctx, who.Project, r.ID)
}

type listSchemas struct {
	Team string `json:"team"`
}

func (h *Handlers) list(ctx context.Context, r listSchemas) (EventSchemaList, error) {
	p := tenant.From(ctx).Project
	found, err := h.Book.List(ctx, p, r.Team)
	if err != nil {
		return EventSchemaList{}, err
	}
	out := EventSchemaList{Items: make([]EventSchema, len(found)), Total: len(found)}
	for i, s := range found {
		if out.Items[i], err = wire(p, s); err != nil {
			return EventSchemaList{}, err
		}
	}
	return out, nil
}

func wire(p tenant.Project, s schema.Schema) (EventSchema, error) {
	x := EventSchema{
		Id: s.ID, Team: s.Name.Team, Noun: s.Name.Noun, Fact: s.Name.Fact, Version: s.Name.Version, Subject: s.Subject(p),
		RegisteredBy: s.RegisteredBy, CreatedAt: s.CreatedAt.UTC(),
	}
	if err := json.Unmarshal(s.Document, &x.Schema); err != nil {
		return EventSchema{}, errs.Newf(errs.Internal, "schema %d: %w", s.ID, err)
	}
	return x, nil
}
