package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

var errMember = errs.New(errs.Forbidden, "this takes a member of the project")

// member looks again: a command may have waited since the edge did.
func member(ctx context.Context) (tenant.Identity, error) {
	who := tenant.From(ctx)
	if !who.Superuser && !who.Role.Allows(tenant.Member) {
		return who, errMember
	}
	return who, nil
}

// ofCall refuses a project that is not the one of the call.
func ofCall(ctx context.Context, said *int64, loc string) error {
	if p := tenant.From(ctx).Project; said != nil && *said != int64(p) {
		return errs.InvalidField("value_error", "project_id is the project of the call: choose it by X-Project-ID", loc, "project_id")
	}
	return nil
}

// saidSource is what a body says of a source; nil is not said.
type saidSource struct {
	Name        *string         `json:"name"`
	Type        string          `json:"type"`
	URL         *string         `json:"url"`
	Path        *string         `json:"path"`
	Schedule    *string         `json:"schedule"`
	Priority    *int            `json:"priority"`
	Enabled     *bool           `json:"enabled"`
	Config      *source.Config  `json:"config"`
	Credentials json.RawMessage `json:"credentials"`
	Project     *int64          `json:"project_id"`
}

// over writes what is said over d; null ends what may be missing.
func (s saidSource) over(d *source.Draft, named map[string]json.RawMessage) {
	for name, f := range map[string]struct{ to, from *string }{"url": {&d.URL, s.URL}, "path": {&d.Path, s.Path}, "schedule": {&d.Schedule, s.Schedule}} {
		if _, ok := named[name]; ok {
			*f.to = value(f.from)
		}
	}
	if _, ok := named["config"]; ok {
		d.Config = value(s.Config)
	}
	if s.Name != nil {
		d.Name = *s.Name
	}
	if s.Priority != nil {
		d.Priority = *s.Priority
	}
	if s.Enabled != nil {
		d.Enabled = *s.Enabled
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// credentials are those that a body gives; nil when it says nothing of them.
func (s saidSource) credentials() (*source.Credentials, error) {
	if len(s.Credentials) == 0 {
		return nil, nil
	}
	var c source.Credentials
	if err := json.Unmarshal(s.Credentials, &c); err != nil {
		return nil, errs.InvalidField("value_error", "credentials have a username and a password, or a token", "body", "credentials")
	}
	return &c, nil
}

func readSource(body json.RawMessage) (s saidSource, named map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(body, &s); err != nil {
		return s, nil, errs.Wrap(errs.Invalid, err, "the body cannot be read as a source")
	}
	return s, named, json.Unmarshal(body, &named)
}

// draft is a new source, as the body has it.
func draft(ctx context.Context, body json.RawMessage) (source.Draft, source.Credentials, error) {
	d := source.Draft{Priority: 5, Enabled: true}
	s, named, err := readSource(body)
	if err != nil {
		return d, source.Credentials{}, err
	}
	if err := ofCall(ctx, s.Project, "body"); err != nil {
		return d, source.Credentials{}, err
	}
	d.Kind = source.Kind(s.Type)
	s.over(&d, named)
	c, err := s.credentials()
	return d, value(c), err
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// shownSource is a source as the contract shows it.
type shownSource struct {
	IngestionSourceResponse
	Config *source.Config `json:"config"`
}

func showSource(x source.Source) shownSource {
	out := shownSource{IngestionSourceResponse: IngestionSourceResponse{
		Id: x.ID, ProjectId: int64(x.Project), Name: x.Name, Type: SourceType(x.Kind), Url: orNil(x.URL), Path: orNil(x.Path), Schedule: orNil(x.Schedule),
		Priority: x.Priority, Enabled: x.Enabled, HasCredentials: x.Sealed != nil, Status: SourceStatus(x.Status), LastRun: when(x.LastRun), LastSuccess: when(x.LastGood),
		LastError: orNil(x.LastError), DocumentsIngested: x.Documents, ErrorCount: x.Faults, NextRun: when(x.NextRun), ParkedSince: when(x.Parked),
		CreatedAt: x.CreatedAt, UpdatedAt: x.UpdatedAt,
	}}
	if !reflect.DeepEqual(x.Config, source.Config{}) {
		out.Config = &x.Config
	}
	return out
}

// newSource is the answer 201.
type newSource struct{ shownSource }

// StatusCode says that the source is new.
func (newSource) StatusCode() int { return http.StatusCreated }

// Headers says where the source is.
func (n newSource) Headers() map[string]string {
	return map[string]string{"Location": "/api/ingestion/sources/" + strconv.FormatInt(n.Id, 10)}
}

type bodyOfSource struct {
	Body  json.RawMessage `json:"body"`
	Limit int             `json:"limit"`
}

func (h *Handlers) addSource(ctx context.Context, r bodyOfSource) (newSource, error) {
	who, err := member(ctx)
	if err != nil {
		return newSource{}, err
	}
	d, c, err := draft(ctx, r.Body)
	if err != nil {
		return newSource{}, err
	}
	x, err := h.Sources.Add(ctx, who.Project, d, c, who.Principal)
	return newSource{showSource(x)}, err
}

type listSources struct {
	Project *int64 `json:"project_id"`
	Type    string `json:"type"`
	Enabled *bool  `json:"enabled"`
	Skip    int    `json:"skip"`
	Limit   int    `json:"limit"`
}

type sourceList struct {
	Sources []shownSource `json:"sources"`
	Total   int           `json:"total"`
}

func (h *Handlers) listSources(ctx context.Context, r listSources) (sourceList, error) {
	if err := ofCall(ctx, r.Project, "query"); err != nil {
		return sourceList{}, err
	}
	page, total, err := h.Sources.List(ctx, tenant.From(ctx).Project, source.Filter{Kind: source.Kind(r.Type), Enabled: r.Enabled, Skip: r.Skip, Limit: r.Limit})
	out := sourceList{Sources: make([]shownSource, len(page)), Total: total}
	for i, x := range page {
		out.Sources[i] = showSource(x)
	}
	return out, err
}

type oneSource struct {
	ID        int64           `json:"source_id"`
	Body      json.RawMessage `json:"body"`
	Documents bool            `json:"documents"`
	Skip      int             `json:"skip"`
	Limit     int             `json:"limit"`
}

func (h *Handlers) getSource(ctx context.Context, r oneSource) (shownSource, error) {
	x, err := h.Sources.Get(ctx, tenant.From(ctx).Project, r.ID)
	return showSource(x), err
}

func (h *Handlers) updateSource(ctx context.Context, r oneSource) (shownSource, error) {
	who, err := member(ctx)
	if err != nil {
		return shownSource{}, err
	}
	s, named, err := readSource(r.Body)
	if err != nil {
		return shownSource{}, err
	}
	c, err := s.credentials()
	if err != nil {
		return shownSource{}, err
	}
	x, err := h.Sources.Change(ctx, who.Project, r.ID, func(d *source.Draft) error {
		s.over(d, named)
		return nil
	}, c)
	return showSource(x), err
}

func (h *Handlers) deleteSource(ctx context.Context, r oneSource) (struct{}, error) {
	who, err := admin(ctx)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Sources.Delete(ctx, who.Project, r.ID, r.Documents)
}

// queued is the answer 202.
type queued struct{ IngestionRun }

// StatusCode says that the run is to come.
func (queued) StatusCode() int { return http.StatusAccepted }

// Headers says where its progress is.
func (q queued) Headers() map[string]string {
	return map[string]string{"Location": "/api/ingestion/sources/" + strconv.FormatInt(q.SourceId, 10) + "/runs"}
}

func (h *Handlers) runSource(ctx context.Context, r oneSource) (queued, error) {
	who, err := member(ctx)
	if err != nil {
		return queued{}, err
	}
	x, run, err := h.Sources.Run(ctx, who.Project, r.ID, who.Principal)
	return queued{IngestionRun{SourceId: x.ID, SourceName: x.Name, TaskId: run.String()}}, err
}

// shownRun is a run as the contract shows it.
type shownRun struct {
	ID         uuid.UUID  `json:"id"`
	Source     int64      `json:"source_id"`
	Trigger    string     `json:"trigger"`
	By         string     `json:"run_by"`
	State      string     `json:"state"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	source.Counts
	Total int     `json:"total"`
	Doing *string `json:"doing"`
	Note  *string `json:"note"`
	Error *string `json:"error"`
}

type runPage struct {
	Items []shownRun `json:"items"`
	Total int        `json:"total"`
}

func (h *Handlers) listRuns(ctx context.Context, r oneSource) (runPage, error) {
	all, total, err := h.Sources.Runs(ctx, tenant.From(ctx).Project, r.ID, r.Skip, r.Limit)
	out := runPage{Items: make([]shownRun, len(all)), Total: total}
	for i, x := range all {
		out.Items[i] = shownRun{x.ID, x.Source, x.Trigger, x.By, x.State, when(x.StartedAt), when(x.FinishedAt), x.Counts, x.Total, orNil(x.Doing), orNil(x.Note), orNil(x.Error)}
	}
	return out, err
}
