package call

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Kind is the type's name.
const Kind = "call"

// Input is what the job is told.
type Input struct {
	URL    string `json:"url"`
	Expect int    `json:"expect"` // status; 0 for any from 200 to 299
}

// Output is what came of it.
type Output struct {
	Status  int     `json:"status"`
	Bytes   int     `json:"bytes"`
	Seconds float64 `json:"seconds"`
	URL     string  `json:"url"` // that answered, after redirects
}

// The schemas of the two.
var (
	InputSchema = json.RawMessage(`{"type":"object","required":["url"],"additionalProperties":false,"properties":{
		"url":{"type":"string","minLength":1,"maxLength":2000,"description":"http or https, of a public host"},
		"expect":{"type":"integer","minimum":100,"maximum":599,"description":"The status that is right; any from 200 to 299 without"}}}`)
	OutputSchema = json.RawMessage(`{"type":"object","required":["status","bytes","seconds","url"],"properties":{
		"status":{"type":"integer"},"bytes":{"type":"integer"},"seconds":{"type":"number"},"url":{"type":"string"}}}`)
)

// Caller asks for addresses.
type Caller struct {
	Get func(ctx context.Context, address string, header, secret http.Header) (egress.Answer, error)
	Now func() time.Time
}

// Call asks for the address with GET. An answer that is not the expected one is a
// refusal, unless it says that it may be another one later (429, 5xx).
func (c Caller) Call(ctx context.Context, in Input) (Output, error) {
	began := c.Now()
	a, err := c.Get(ctx, in.URL, nil, nil)
	if err != nil {
		var e *errs.Error
		if errors.As(err, &e) || ctx.Err() != nil {
			return Output{}, err
		}
		return Output{}, errs.Wrap(errs.Unavailable, err, "the address does not answer: "+err.Error())
	}
	out := Output{Status: a.Status, Bytes: len(a.Body), Seconds: c.Now().Sub(began).Seconds(), URL: a.URL}
	switch {
	case in.Expect == a.Status, in.Expect == 0 && a.Status/100 == 2:
		return out, nil
	case a.Status == http.StatusTooManyRequests || a.Status >= 500:
		e := errs.Newf(errs.Unavailable, "it answers %d", a.Status)
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && n > 0 && n <= 3600 {
			e = e.After(time.Duration(n) * time.Second)
		}
		return out, e
	}
	return out, errs.Newf(errs.Invalid, "it answers %d", a.Status)
}
