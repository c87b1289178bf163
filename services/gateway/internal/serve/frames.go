package serve

import (
	"bytes"
	"net/http"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
)

// full is how many bytes of frames are written at once.
const full = 32 << 10

// frames writes server-sent events.
type frames struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	now func() time.Time
	b   bytes.Buffer
	n   int
}

// fact is an event without a name, which every client hears.
func (x *frames) fact(f *feed.Fact) {
	x.b.WriteString("id: ")
	x.b.WriteString(f.Position.String())
	x.b.WriteString("\ndata: ")
	x.b.Write(f.JSON)
	x.b.WriteString("\n\n")
	x.n++
}

func (x *frames) event(name string, at bus.Position, data []byte) {
	x.b.WriteString("event: " + name + "\nid: " + at.String() + "\ndata: ")
	x.b.Write(data)
	x.b.WriteString("\n\n")
}

// place is what the client names when it comes back; nothing is shown for it.
func (x *frames) place(at bus.Position) {
	x.b.WriteString("retry: " + retryAfter + "\nid: " + at.String() + "\n\n")
}

func (x *frames) comment(text string) { x.b.WriteString(": " + text + "\n\n") }

// count is how many facts were written since it was asked last.
func (x *frames) count() int {
	n := x.n
	x.n = 0
	return n
}

// full reports whether there is so much that it is time to flush.
func (x *frames) full() bool { return x.b.Len() >= full }

// flush sends what there is, within the time that a caller has to take it.
func (x *frames) flush() error {
	if x.b.Len() == 0 {
		return nil
	}
	_ = x.rc.SetWriteDeadline(x.now().Add(unread)) // see steady.Read
	_, err := x.w.Write(x.b.Bytes())
	x.b.Reset()
	if x.b.Cap() > 4*full {
		x.b = bytes.Buffer{} // a thousand streams would keep their largest
	}
	if err == nil {
		err = x.rc.Flush()
	}
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "the caller does not read its events")
	}
	return nil
}
