package feed

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
)

// Fact is one fact as callers are shown it.
type Fact struct {
	Position  bus.Position
	Project   tenant.Project
	Kind      Kind
	Aggregate string
	Public    bool
	JSON      []byte // the Event of the contract, one line
}

// Kind is what a fact declares of itself.
type Kind struct {
	Service, Noun, Fact string
	Version             int
}

// Filter selects facts. Empty fields select all.
type Filter struct {
	Project                        tenant.Project
	Service, Noun, Fact, Aggregate string
	Internal                       bool // those that are not public, too
}

// Wants reports whether the filter selects the fact.
func (f Filter) Wants(x *Fact) bool {
	return x.Project == f.Project && (x.Public || f.Internal) && fits(f.Service, x.Kind.Service) && fits(f.Noun, x.Kind.Noun) &&
		fits(f.Fact, x.Kind.Fact) && fits(f.Aggregate, x.Aggregate)
}

func fits(want, have string) bool { return want == "" || want == have }

// event is the Event of the contract.
type event struct {
	ID         string          `json:"id"`
	Position   string          `json:"position"`
	Event      string          `json:"event"`
	Subject    string          `json:"subject"`
	ProjectID  int64           `json:"project_id"`
	Service    string          `json:"service"`
	Noun       string          `json:"noun"`
	Fact       string          `json:"fact"`
	Version    int             `json:"version"`
	Aggregate  string          `json:"aggregate_id"`
	AggVersion *int64          `json:"aggregate_version"`
	OccurredAt string          `json:"occurred_at"`
	RecordedAt string          `json:"recorded_at"`
	Source     string          `json:"source"`
	Schema     *string         `json:"schema"`
	Trace      *string         `json:"traceparent"`
	Public     bool            `json:"public"`
	Data       json.RawMessage `json:"data"`
}

// Read makes a fact of what was said. ok is false of what is no fact of ours.
func Read(s bus.Said) (f Fact, ok bool) {
	t := strings.Split(s.Subject, ".")
	if len(t) != 6 || t[0] != "evt" {
		return Fact{}, false
	}
	project, err := tenant.ParseToken(t[1])
	if err != nil {
		return Fact{}, false
	}
	version, err := strconv.Atoi(strings.TrimPrefix(t[5], "v"))
	if err != nil {
		return Fact{}, false
	}
	a, err := events.ParseAttributes(s.Header)
	if err != nil {
		return Fact{}, false
	}
	k := Kind{t[2], t[3], t[4], version}
	d, known := declared()[k]
	data, ok := body(s.Data, a.ContentType, d)
	if !ok {
		return Fact{}, false
	}
	if a.Time.IsZero() {
		a.Time = s.Time
	}
	e := event{
		ID: a.ID, Position: s.Position.String(), Event: strings.Join(t[2:], "."), Subject: s.Subject, ProjectID: int64(project),
		Service: k.Service, Noun: k.Noun, Fact: k.Fact, Version: k.Version, Aggregate: a.Subject, OccurredAt: stamp(a.Time), RecordedAt: stamp(s.Time),
		Source: a.Source, Schema: optional(a.DataSchema), Trace: optional(trace(s.Header)), Public: known && d.Public, Data: data,
	}
	if v, err := strconv.ParseInt(a.Version, 10, 64); err == nil {
		e.AggVersion = &v
	}
	line, err := json.Marshal(e)
	if err != nil {
		return Fact{}, false
	}
	return Fact{Position: s.Position, Project: project, Kind: k, Aggregate: a.Subject, Public: e.Public, JSON: line}, true
}

// body returns the data as JSON on one line.
func body(data []byte, contentType string, d events.Description) (json.RawMessage, bool) {
	if contentType == "" || strings.HasPrefix(contentType, events.JSON) {
		return data, json.Valid(data)
	}
	if d.Type == nil {
		return nil, false
	}
	m := d.Type()
	if err := events.Unmarshal(data, contentType, m); err != nil {
		return nil, false
	}
	out, err := events.Marshal(m)
	return out, err == nil
}

// declared are the facts of the catalogue; one that any service may say is
// there once for every service that says others. A fact that this version does
// not know is not shown as public.
var declared = sync.OnceValue(func() map[Kind]events.Description {
	out := map[Kind]events.Description{}
	for _, of := range events.Catalogue() {
		for _, d := range events.SaidBy(of.Service) {
			if d.Service != events.Any {
				out[Kind{d.Service, d.Noun, d.Fact, d.Version}] = d
			}
		}
	}
	return out
})

// trace is the trace context, whatever the case of the header's name.
func trace(h map[string][]string) string {
	for name, v := range h {
		if strings.EqualFold(name, "traceparent") && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
