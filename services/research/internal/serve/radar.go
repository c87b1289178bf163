package serve

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/radar"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// quarter is how far back movements are looked for where nobody says.
const quarter = 91 * 24 * time.Hour

type radarQuery struct {
	Since string `json:"since"` // a day; "" is a quarter ago
	Title string `json:"title"` // of a picture
}

func (h *Handlers) standing(ctx context.Context, q radarQuery) (radar.Radar, error) {
	now := h.Now().UTC().Truncate(24 * time.Hour) // a radar is of a day
	since := now.Add(-quarter)
	if q.Since != "" {
		day, err := time.Parse(time.DateOnly, q.Since)
		if err != nil {
			return radar.Radar{}, errs.InvalidField("date_parsing", "since is a day, as 2026-01-31 is one", "query", "since")
		}
		since = day
	}
	all, then, err := h.Book.Standing(ctx, tenant.From(ctx).Project, since)
	return radar.Of(all, then, now, since), err
}

// blip is one as the contract shows it.
type blip struct {
	Number   int                 `json:"number"`
	ID       int64               `json:"technology_id"`
	Title    string              `json:"title"`
	Status   technology.Status   `json:"status"`
	Quadrant technology.Quadrant `json:"quadrant"`
	Ring     technology.Ring     `json:"ring"`
	Movement radar.Movement      `json:"movement"`
	X        float64             `json:"x"`
	Y        float64             `json:"y"`
}

type radarAnswer struct {
	At        string                `json:"at"` // days
	Since     string                `json:"since"`
	Quadrants []technology.Quadrant `json:"quadrants"`
	Rings     []ringAnswer          `json:"rings"`
	Blips     []blip                `json:"blips"`
}

type ringAnswer struct {
	Name   technology.Ring `json:"name"`
	Radius float64         `json:"radius"`
}

func (h *Handlers) radar(ctx context.Context, q radarQuery) (radarAnswer, error) {
	r, err := h.standing(ctx, q)
	out := radarAnswer{At: r.At.Format(time.DateOnly), Since: r.Since.Format(time.DateOnly), Quadrants: technology.Quadrants, Blips: make([]blip, len(r.Blips))}
	for i, ring := range technology.Rings {
		out.Rings = append(out.Rings, ringAnswer{ring, radar.Edges[i]})
	}
	for i, b := range r.Blips {
		out.Blips[i] = blip(b)
	}
	return out, err
}

// file is an answer that is no JSON.
type file struct {
	kind, name string
	content    []byte
}

// Text is the answer as it is.
func (f file) Text() (kind, text string) { return f.kind, string(f.content) }

// Headers name it. A picture may be shown in a page; nothing in it runs.
func (f file) Headers() map[string]string {
	return map[string]string{"Content-Disposition": fmt.Sprintf("inline; filename=%q", f.name)}
}

func titleOf(q radarQuery) string {
	if t := strings.TrimSpace(q.Title); t != "" {
		return t
	}
	return "Technology radar"
}

func (h *Handlers) svg(ctx context.Context, q radarQuery) (file, error) {
	r, err := h.standing(ctx, q)
	return file{"image/svg+xml", "radar.svg", r.SVG(titleOf(q))}, err
}

func (h *Handlers) png(ctx context.Context, q radarQuery) (file, error) {
	r, err := h.standing(ctx, q)
	if err != nil {
		return file{}, err
	}
	picture, err := r.PNG(titleOf(q))
	return file{"image/png", "radar.png", picture}, err
}

func (h *Handlers) csv(ctx context.Context, q radarQuery) (file, error) {
	r, err := h.standing(ctx, q)
	if err != nil {
		return file{}, err
	}
	texts, err := h.Book.Descriptions(ctx, tenant.From(ctx).Project)
	return file{"text/csv; charset=utf-8", "radar.csv", r.CSV(func(id int64) string { return texts[id] })}, err
}

type importRadar struct {
	Body struct {
		CSV    string `json:"csv"`
		DryRun bool   `json:"dry_run"`
	} `json:"body"`
}

// imported is what became of the lines of a CSV.
type imported struct {
	Added     int        `json:"added"`
	Changed   int        `json:"changed"`
	Unchanged int        `json:"unchanged"`
	Items     []lineItem `json:"items"`
}

type lineItem struct {
	Title   string `json:"title"`
	Outcome string `json:"outcome"` // added, changed or unchanged
}

func (h *Handlers) importCSV(ctx context.Context, r importRadar) (imported, error) {
	who, err := member(ctx)
	if err != nil {
		return imported{}, err
	}
	entries, err := radar.ReadCSV(r.Body.CSV)
	if err != nil {
		return imported{}, err
	}
	all, _, err := h.Book.Standing(ctx, who.Project, h.Now())
	if err != nil {
		return imported{}, err
	}
	known := make(map[string]int64, len(all))
	for _, x := range all {
		known[strings.ToLower(x.Title)] = x.ID
	}
	out := imported{Items: make([]lineItem, 0, len(entries))}
	for _, e := range entries {
		if out.Added+len(all) >= technology.MaxPerProject && known[strings.ToLower(e.Title)] == 0 {
			return imported{}, technology.ErrMany
		}
		outcome, err := h.takeEntry(ctx, who, e, known[strings.ToLower(e.Title)], r.Body.DryRun)
		if errs.KindOf(err) == errs.Invalid {
			err = radar.Fault(e.Line, "cannot be taken: "+errs.As(err).Public())
		}
		if err != nil {
			return imported{}, err
		}
		switch outcome {
		case "added":
			out.Added++
		case "changed":
			out.Changed++
		default:
			out.Unchanged++
		}
		out.Items = append(out.Items, lineItem{e.Title, outcome})
	}
	return out, nil
}

// takeEntry puts one line of a CSV where it says; known is the technology of its title,
// or 0.
func (h *Handlers) takeEntry(ctx context.Context, who tenant.Identity, e radar.Entry, known int64, dry bool) (outcome string, err error) {
	if known == 0 {
		d := technology.New()
		d.Title, d.Status = e.Title, statusOn[e.Ring]
		e.Over(&d)
		if dry {
			return "added", d.Normalise()
		}
		_, err := h.Book.Add(ctx, who.Project, d, who.Principal)
		return "added", err
	}
	x, err := h.Book.Get(ctx, who.Project, known)
	if err != nil {
		return "", err
	}
	d := x.Draft
	e.Over(&d)
	if err := d.Normalise(); err != nil {
		return "", err
	}
	if d.Same(x.Draft) {
		return "unchanged", nil
	}
	if !dry {
		_, err = h.Book.Change(ctx, who.Project, x.ID, 0, who.Principal, func(now *technology.Draft) error { e.Over(now); return nil })
	}
	return "changed", err
}

// statusOn is how far a project has most likely come with what is new to it.
var statusOn = map[technology.Ring]technology.Status{"adopt": "integrated", "trial": "evaluation", "assess": "research", "hold": "archived"}
