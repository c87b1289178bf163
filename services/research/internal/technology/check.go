package technology

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Bounds of what is said of a technology.
const (
	maxTitle = 255
	maxURL   = 512
	maxText  = 20_000 // characters of description, notes and use cases
	maxTags  = 1_000
	maxLinks = 100 // dependencies, and alternatives
)

// Dependencies are other technologies by their id, with how this one depends on them.
type Dependencies map[string]string

// Scan reads what the database keeps.
func (d *Dependencies) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = nil
		return nil
	case []byte:
		return json.Unmarshal(v, d)
	}
	return fmt.Errorf("dependencies of type %T", src)
}

// Normalise makes empty texts none, cuts blanks off, and puts lists into one form. Then
// it says of each field that cannot be what is wrong with it.
func (d *Draft) Normalise() error {
	d.Title = strings.TrimSpace(d.Title)
	for _, s := range []**string{
		&d.Vendor, &d.Description, &d.Notes, &d.UseCases, &d.DocumentationURL, &d.RepositoryURL, &d.WebsiteURL, &d.Tags, &d.Alternatives, &d.Difficulty, &d.Maturity, &d.CostTier,
	} {
		if *s != nil {
			*s = none(strings.TrimSpace(**s))
		}
	}
	if d.Ring != nil && *d.Ring == "" {
		d.Ring = nil
	}
	if d.Quadrant != nil && *d.Quadrant == "" {
		d.Quadrant = nil
	}
	if d.Tags != nil {
		d.Tags = none(strings.Join(items(*d.Tags), ", "))
	}
	if len(d.Dependencies) == 0 {
		d.Dependencies = nil
	}
	return d.check()
}

func none(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// items are the entries of a list that is separated by commas, each once, whatever
// its case.
func items(list string) []string {
	var out []string
	seen := map[string]bool{}
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" && !seen[strings.ToLower(s)] {
			seen[strings.ToLower(s)] = true
			out = append(out, s)
		}
	}
	return out
}

// faults gathers what is wrong.
type faults struct{ fields []errs.Field }

func (f *faults) add(field, typ, format string, args ...any) {
	f.fields = append(f.fields, errs.Field{Type: typ, Loc: []any{"body", field}, Msg: fmt.Sprintf(format, args...)})
}

func (f *faults) text(field string, s *string, most int) {
	if s != nil && utf8.RuneCountInString(*s) > most {
		f.add(field, "string_too_long", "%s has at most %d characters", field, most)
	}
	if s != nil && strings.ContainsRune(*s, 0) {
		f.add(field, "string_pattern_mismatch", "%s has a character that no text has", field)
	}
}

func (f *faults) err() error {
	if len(f.fields) == 0 {
		return nil
	}
	return &errs.Error{Kind: errs.Invalid, Msg: f.fields[0].Msg, Fields: f.fields}
}

// oneOf says that a word is not of a list.
func oneOf[W ~string](f *faults, field string, w W, all []W) {
	if slices.Contains(all, w) {
		return
	}
	names := make([]string, len(all))
	for i, x := range all {
		names[i] = string(x)
	}
	f.add(field, "enum", "%s is one of %s", field, strings.Join(names, ", "))
}

func (d *Draft) check() error {
	var f faults
	if d.Title == "" {
		f.add("title", "string_too_short", "a technology has a title")
	}
	f.text("title", &d.Title, maxTitle)
	f.text("vendor", d.Vendor, maxTitle)
	oneOf(&f, "domain", d.Domain, Domains)
	oneOf(&f, "status", d.Status, Statuses)
	if d.Ring != nil {
		oneOf(&f, "ring", *d.Ring, Rings)
	}
	if d.Quadrant != nil {
		oneOf(&f, "quadrant", *d.Quadrant, Quadrants)
	}
	for field, x := range map[string]struct {
		word *string
		all  []string
	}{"integration_difficulty": {d.Difficulty, difficulties}, "maturity_level": {d.Maturity, maturities}, "cost_tier": {d.CostTier, costTiers}} {
		if x.word != nil {
			oneOf(&f, field, *x.word, x.all)
		}
	}
	f.text("description", d.Description, maxText)
	f.text("notes", d.Notes, maxText)
	f.text("use_cases", d.UseCases, maxText)
	f.text("tags", d.Tags, maxTags)
	for field, address := range map[string]*string{"documentation_url": d.DocumentationURL, "repository_url": d.RepositoryURL, "website_url": d.WebsiteURL} {
		if address == nil {
			continue
		}
		if u, err := url.Parse(*address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(*address) > maxURL {
			f.add(field, "url_parsing", "%s begins with http:// or https://, and has at most %d bytes", field, maxURL)
		}
	}
	d.checkNumbers(&f)
	if _, err := d.Linked(); err != nil {
		f.fields = append(f.fields, errs.As(err).Fields...)
	}
	slices.SortFunc(f.fields, func(a, b errs.Field) int { return strings.Compare(fmt.Sprint(a.Loc), fmt.Sprint(b.Loc)) })
	return f.err()
}

// Check says whether a move can have been.
func (m Move) Check() error {
	var f faults
	oneOf(&f, "to_status", m.ToStatus, Statuses)
	oneOf(&f, "to_ring", m.ToRing, Rings)
	if m.FromStatus != nil {
		oneOf(&f, "from_status", *m.FromStatus, Statuses)
	}
	if m.FromRing != nil {
		oneOf(&f, "from_ring", *m.FromRing, Rings)
	}
	if m.Version < 1 || m.Version > math.MaxInt32 || m.TechnologyID < 1 {
		f.add("version", "out_of_range", "a move belongs to a version of a technology")
	}
	return f.err()
}

func (d *Draft) checkNumbers(f *faults) {
	within := func(field string, v, least, most float64) {
		if math.IsNaN(v) || v < least || v > most {
			f.add(field, "out_of_range", "%s is from %v to %v", field, least, most)
		}
	}
	within("relevance_score", float64(d.Relevance), 0, 100)
	within("priority", float64(d.Priority), 1, 5)
	if d.Stability != nil {
		within("stability_score", float64(*d.Stability), 0, 100)
	}
	for field, v := range map[string]*int{"integration_time_estimate_days": d.IntegrationDays, "hn_score_avg": d.HNScoreAvg} {
		if v != nil {
			within(field, float64(*v), 0, math.MaxInt32)
		}
	}
	for field, v := range map[string]*int64{"throughput_qps": d.ThroughputQPS, "github_stars": d.GitHubStars} {
		if v != nil {
			within(field, float64(*v), 0, 1<<53)
		}
	}
	for field, v := range map[string]*float64{"latency_ms": d.LatencyMS, "cost_monthly_usd": d.CostMonthlyUSD} {
		if v != nil {
			within(field, *v, 0, 1e12)
		}
	}
}

// Linked are the ids of the technologies that d names as dependencies and
// alternatives, ascending.
func (d *Draft) Linked() ([]int64, error) {
	seen := map[int64]bool{}
	take := func(field, id string) error {
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil || n < 1 {
			return errs.InvalidField("int_parsing", fmt.Sprintf("%s names technologies by their id, and %.40q is none", field, id), "body", field)
		}
		seen[n] = true
		return nil
	}
	var all []error
	for id, how := range d.Dependencies {
		if utf8.RuneCountInString(how) > maxTitle {
			all = append(all, errs.InvalidField("string_too_long", fmt.Sprintf("how it depends on another has at most %d characters", maxTitle), "body", "dependencies"))
		}
		if strings.ContainsRune(how, 0) {
			all = append(all, errs.InvalidField("string_pattern_mismatch", "how it depends on another has a character that no text has", "body", "dependencies"))
		}
		all = append(all, take("dependencies", id))
	}
	if d.Alternatives != nil {
		for _, id := range items(*d.Alternatives) {
			all = append(all, take("alternatives", id))
		}
	}
	if len(seen) > 2*maxLinks {
		all = append(all, errs.InvalidField("too_long", fmt.Sprintf("at most %d technologies are named", 2*maxLinks), "body", "dependencies"))
	}
	if err := errors.Join(all...); err != nil {
		var f faults
		for _, e := range all {
			if e != nil {
				f.fields = append(f.fields, errs.As(e).Fields...)
			}
		}
		return nil, f.err()
	}
	out := make([]int64, 0, len(seen))
	for id := range seen {
		out = append(out, id)
	}
	slices.Sort(out)
	return out, nil
}
