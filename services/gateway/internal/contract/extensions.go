package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// extensions reads the x- words of an operation. One that nobody knows is an
// error: a misspelt rule must not go unenforced.
func (o *Operation) extensions(ext map[string]any) error {
	var faulty []error
	fail := func(name string, err error) { faulty = append(faulty, fmt.Errorf("%s: %w", name, err)) }
	seen := map[string]bool{}
	watch := Watch{Job: "job_id", Field: "state"}
	for name, value := range ext {
		seen[name] = true
		var err error
		switch name {
		case "x-service":
			o.Service, err = text(value)
		case "x-delivery":
			o.Delivery, err = word(value, Request, Command, Upload, Stream, Live, Edge)
		case "x-permission":
			o.Permission, err = word(value, Public, Authenticated, Viewer, Member, Admin, Owner, Superuser)
		case "x-project":
			o.Project, err = word(value, NoProject, CurrentProject, PathProject)
		case "x-rate-limit":
			o.Rate, err = rate(value)
		case "x-rate-refusals":
			o.Refusals, err = statuses(value)
		case "x-max-body":
			o.MaxBody, err = number(value)
		case "x-archive":
			var ok bool
			if o.Archive, ok = value.(bool); !ok {
				err = errors.New("want true or false")
			}
		case "x-timeout":
			o.Timeout, err = duration(value)
		case "x-reads":
			read, ok := value.(bool)
			if !ok {
				err = errors.New("want true or false")
			}
			o.reads = &read
		case "x-open-query":
			var ok bool
			if o.OpenQuery, ok = value.(bool); !ok {
				err = errors.New("want true or false")
			}
		case "x-instance":
			o.Instance, err = text(value)
		case "x-mcp":
			o.Tool, err = text(value)
		case "x-aliases":
			o.Aliases, err = methods(value)
		case "x-deprecated-since":
			o.DeprecatedSince, err = day(value)
		case "x-sunset":
			o.Sunset, err = day(value)
		case "x-live-state":
			watch.State, err = text(value)
		case "x-live-job":
			watch.Job, err = text(value)
		case "x-live-until":
			var s string
			if s, err = text(value); err == nil {
				field, values, ok := strings.Cut(s, "=")
				if !ok {
					err = errors.New("want field=value,value")
				}
				watch.Field, watch.Until = field, strings.Split(values, ",")
			}
		default:
			err = errors.New("not a word of this contract")
		}
		if err != nil {
			fail(name, err)
		}
	}
	for _, name := range []string{"x-service", "x-delivery", "x-permission", "x-project"} {
		if !seen[name] {
			fail(name, errors.New("missing"))
		}
	}
	if o.Refusals != nil && (o.Rate == nil || o.Permission != Public) {
		fail("x-rate-refusals", errors.New("is for a public operation with an x-rate-limit"))
	}
	if watch.State != "" {
		o.Watch = &watch
	}
	return errors.Join(faulty...)
}

func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok || s == "" {
		return "", errors.New("want text")
	}
	return s, nil
}

func word[W ~string](v any, known ...W) (W, error) {
	s, err := text(v)
	if err != nil {
		return "", err
	}
	if !slices.Contains(known, W(s)) {
		return "", fmt.Errorf("%q is none of %v", s, known)
	}
	return W(s), nil
}

func number(v any) (int64, error) {
	switch n := v.(type) {
	case float64:
		if n > 0 {
			return int64(n), nil
		}
	case int:
		if n > 0 {
			return int64(n), nil
		}
	case uint64:
		return int64(n), nil //nolint:gosec // G115: of our own contract
	case json.Number:
		return n.Int64()
	}
	return 0, fmt.Errorf("want a number above zero, not %v", v)
}

func duration(v any) (time.Duration, error) {
	s, err := text(v)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("want a time above zero")
	}
	return d, err
}

func day(v any) (time.Time, error) {
	if t, ok := v.(time.Time); ok {
		return t, nil
	}
	s, err := text(v)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.DateOnly, s)
}

func methods(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("want a list of methods")
	}
	var out []string
	for _, m := range list {
		s, err := text(m)
		if err != nil {
			return nil, err
		}
		out = append(out, strings.ToUpper(s))
	}
	return out, nil
}

// statuses reads a list of those that refuse.
func statuses(v any) ([]int, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("want a list of statuses")
	}
	var out []int
	for _, one := range list {
		n, err := number(one)
		if err != nil || n < 400 || n > 499 {
			return nil, fmt.Errorf("%v is the status of no refusal", one)
		}
		out = append(out, int(n))
	}
	return out, nil
}

func rate(v any) (*Rate, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	r, err := ParseRate(s)
	return &r, err
}

// periods are the words of a rate, longest first.
var periods = []struct {
	word string
	d    time.Duration
}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}

// ParseRate reads "5/hour".
func ParseRate(s string) (Rate, error) {
	count, per, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if ok && err == nil && n > 0 {
		for _, p := range periods {
			if p.word == per {
				return Rate{N: n, Per: p.d}, nil
			}
		}
	}
	return Rate{}, fmt.Errorf("rate %q: want <number>/second, minute, hour or day", s)
}

// Text is the form that [ParseRate] reads, where there is one.
func (r Rate) Text() string {
	for _, p := range periods {
		if r.Per == p.d {
			return strconv.Itoa(r.N) + "/" + p.word
		}
	}
	return strconv.Itoa(r.N) + "/" + r.Per.String()
}

// String is the form that callers read: "5 per 1 hour".
func (r Rate) String() string {
	for _, p := range periods {
		if r.Per%p.d == 0 {
			n := int64(r.Per / p.d)
			plural := ""
			if n > 1 {
				plural = "s"
			}
			return fmt.Sprintf("%d per %d %s%s", r.N, n, p.word, plural)
		}
	}
	return fmt.Sprintf("%d per %s", r.N, r.Per)
}
