package call_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/jobs/internal/call"
)

func TestWhatAnAddressAnswersIsJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status, expect int
		failure        error
		retry          string
		want           errs.Kind
		after          time.Duration
	}{
		"right":             {status: 204},
		"as expected":       {status: 404, expect: 404},
		"not as expected":   {status: 200, expect: 204, want: errs.Invalid},
		"gone":              {status: 410, want: errs.Invalid},
		"not now":           {status: 503, retry: "7", want: errs.Unavailable, after: 7 * time.Second},
		"too often":         {status: 429, retry: "soon", want: errs.Unavailable},
		"nobody there":      {failure: errors.New("connection refused"), want: errs.Unavailable},
		"not to be called":  {failure: errs.New(errs.Invalid, "private"), want: errs.Invalid},
		"expects a failure": {status: 500, expect: 500},
	} {
		now := time.Unix(0, 0)
		x := call.Caller{
			Now: func() time.Time { now = now.Add(time.Second); return now },
			Get: func(_ context.Context, address string, _, _ http.Header) (egress.Answer, error) {
				return egress.Answer{Status: c.status, Body: []byte("abc"), URL: address, Header: http.Header{"Retry-After": {c.retry}}}, c.failure
			},
		}
		out, err := x.Call(t.Context(), call.Input{URL: "https://example.org", Expect: c.expect})
		if c.want == "" && (err != nil || out.Status != c.status || out.Bytes != 3 || out.Seconds != 1 || out.URL != "https://example.org") {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		if c.want != "" && (errs.As(err).Kind != c.want || errs.As(err).RetryAfter != c.after) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
