package serve

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Discovering finds the sources of an address.
type Discovering interface {
	Discover(ctx context.Context, address string) ([]feed.Candidate, error)
}

// lookTime is how long a look at a source may take, which somebody waits for.
const lookTime = 25 * time.Second

// upstream is a failure of what was looked at, for who looked: it is none of ours.
func upstream(err error) error {
	var network net.Error
	switch e := (*errs.Error)(nil); {
	case err == nil, errors.As(err, &e) && e.Kind.Refusal():
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return errs.Wrap(errs.Invalid, err, "it does not answer in time")
	default:
		return errs.Wrap(errs.Invalid, err, clip(strings.Join(strings.Fields(err.Error()), " "), 300))
	}
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

func (h *Handlers) preview(ctx context.Context, r bodyOfSource) (SourcePreview, error) {
	who, err := member(ctx)
	if err != nil {
		return SourcePreview{}, err
	}
	d, c, err := draft(ctx, r.Body)
	if err != nil {
		return SourcePreview{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	p, err := h.Runner.Try(ctx, who.Project, d, c, r.Limit)
	return showPreview(p), upstream(err)
}

func (h *Handlers) previewKept(ctx context.Context, r oneSource) (SourcePreview, error) {
	who, err := member(ctx)
	if err != nil {
		return SourcePreview{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	p, err := h.Runner.TryKept(ctx, who.Project, r.ID, r.Limit)
	return showPreview(p), upstream(err)
}

func showPreview(p source.Preview) SourcePreview {
	out := SourcePreview{
		Documents: make([]PreviewedDocument, len(p.Documents)), More: p.More, Unchanged: p.Same, Failed: append([]string{}, p.Failed...), Note: orNil(p.Report.Note), MovedTo: orNil(p.Report.Moved),
	}
	for i, d := range p.Documents {
		out.Documents[i] = PreviewedDocument{
			Place: d.Place, Url: orNil(d.URL), Title: d.Title, Author: orNil(d.Author), PublishedAt: when(d.Published), ContentType: d.ContentType, Size: len(d.Content), Excerpt: excerpt(d),
		}
	}
	return out
}

// excerpt is the beginning of a document's text.
func excerpt(d source.Document) string {
	text := strings.ToValidUTF8(string(d.Content[:min(len(d.Content), 8<<10)]), "")
	if d.ContentType == "text/html" {
		var b strings.Builder
		z := html.NewTokenizer(strings.NewReader(text))
		for skip := false; ; {
			t := z.Next()
			if t == html.ErrorToken {
				break
			}
			name, _ := z.TagName()
			switch tag := string(name); {
			case tag == "script", tag == "style":
				skip = t == html.StartTagToken
			case t == html.TextToken && !skip:
				b.Write(z.Text())
				b.WriteByte(' ')
			}
		}
		text = html.UnescapeString(b.String())
	}
	return clip(strings.Join(strings.Fields(text), " "), 300)
}

type discovery struct {
	Body SourceDiscovery `json:"body"`
}

func (h *Handlers) discover(ctx context.Context, r discovery) (SourceCandidates, error) {
	if _, err := member(ctx); err != nil {
		return SourceCandidates{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found, err := h.Discovering.Discover(ctx, strings.TrimSpace(r.Body.Url))
	out := SourceCandidates{Candidates: make([]SourceCandidate, len(found))}
	for i, c := range found {
		out.Candidates[i] = SourceCandidate{Type: SourceType(c.Draft.Kind), Name: c.Draft.Name, Url: orNil(c.Draft.URL), Items: c.Items, Why: c.Why}
	}
	return out, upstream(err)
}

// listFile is a list of feeds.
type listFile string

// Text is the file.
func (f listFile) Text() (kind, text string) { return "text/x-opml; charset=utf-8", string(f) }

// Headers names the file.
func (listFile) Headers() map[string]string {
	return map[string]string{"Content-Disposition": `attachment; filename="feeds.opml"`}
}

func (h *Handlers) exportOPML(ctx context.Context, _ struct{}) (listFile, error) {
	all, _, err := h.Sources.List(ctx, tenant.From(ctx).Project, source.Filter{Kind: source.Feed, Limit: source.MaxPerProject})
	if err != nil {
		return "", err
	}
	text, err := feed.WriteOPML("Feeds of project "+tenant.From(ctx).Project.Token(), all)
	return listFile(text), err
}

type importList struct {
	Body OPMLImport `json:"body"`
}

type importedList struct {
	Added   int           `json:"added"`
	Known   int           `json:"known"`
	Sources []shownSource `json:"sources"`
}

func (h *Handlers) importOPML(ctx context.Context, r importList) (importedList, error) {
	out := importedList{Sources: []shownSource{}}
	who, err := member(ctx)
	if err != nil {
		return out, err
	}
	list, err := feed.ReadOPML([]byte(r.Body.Opml))
	if err != nil {
		return out, err
	}
	have, _, err := h.Sources.List(ctx, who.Project, source.Filter{Kind: source.Feed, Limit: source.MaxPerProject})
	if err != nil {
		return out, err
	}
	known := map[string]bool{}
	for _, x := range have {
		known[x.URL] = true
	}
	for _, o := range list {
		if known[o.URL] {
			out.Known++
			continue
		}
		d := source.Draft{Kind: source.Feed, Name: o.Name, URL: o.URL, Priority: 5, Enabled: true, Config: source.Config{Category: o.Category}}
		x, err := h.Sources.Add(ctx, who.Project, d, source.Credentials{}, who.Principal)
		if err != nil {
			return out, err
		}
		known[x.URL] = true
		out.Added++
		out.Sources = append(out.Sources, showSource(x))
	}
	return out, nil
}
