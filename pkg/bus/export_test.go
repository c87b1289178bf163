package bus

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// SignAt makes b sign its tokens as if it were now, and forget those it has.
func (b *Bus) SignAt(now func() time.Time) {
	b.signer.made = newCache[signKey, signed](tokenCache)
	b.signer.now = now
}

// Unrecorded lets a benchmark see what writes cost that are not recorded: s
// records commands while off says no.
func (s *Server) Unrecorded(off func() bool) {
	s.record = func(ctx context.Context, p tenant.Project, t attempt) proto.Message {
		if off() {
			return nil
		}
		return s.recordOf(ctx, p, t)
	}
}

// Quantile is what is shown of one duration.
func Quantile(d time.Duration) time.Duration {
	var t times
	t.add(d)
	return t.quantile(.5)
}

// A reading of facts is told that its consumer is there as often as the server
// allows.
func init() { factsBeat = 100 * time.Millisecond } //nolint:gochecknoinits // before any test reads it

// LookUp looks the depth of a service's queue up, and returns when that is done.
func (b *Bus) LookUp(service string) {
	d := b.depth(service)
	d.mu.Lock()
	before := d.since
	d.mu.Unlock()
	b.lookUp(service, d, before)
}

// UntilLed asks a cluster until it can answer.
var UntilLed = untilLed

// Made is the id that is recorded of an answer.
func Made(status int, body string) string { return made(outcome{status: status, body: []byte(body)}) }
