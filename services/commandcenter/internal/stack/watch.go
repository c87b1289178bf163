package stack

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// watchEvery is how often NATS servers elsewhere are asked, at most.
const watchEvery = 5 * time.Second

// watcher tells of the leaf connections of NATS servers that are processes of
// their own. It connects when it is asked first.
type watcher struct {
	url, creds string

	mu    sync.Mutex
	nc    *nats.Conn
	asked time.Time
	found error
}

// newWatcher is nil where there are no credentials to watch with: an instance
// whose keys were made by a version before.
func newWatcher(url string, t *natsd.Trust) *watcher {
	creds := t.CredsFile(natsd.UserWatch)
	if _, err := os.Stat(creds); err != nil {
		return nil
	}
	return &watcher{url: url, creds: creds}
}

// joined returns an error when a hub that the servers are to join is not there.
// Where they cannot be asked it returns what was found last: that NATS is away is
// for others to say.
func (w *watcher) joined(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) < watchEvery {
		return w.found
	}
	if w.nc == nil {
		nc, err := nats.Connect(w.url, nats.Name(natsd.UserWatch), nats.UserCredentials(w.creds), nats.CustomInboxPrefix("_INBOX_"+natsd.UserWatch),
			nats.Timeout(time.Second), nats.MaxReconnects(-1))
		if err != nil {
			return w.found
		}
		w.nc = nc
	}
	l, err := natsd.AskLeafs(ctx, w.nc)
	if err != nil {
		return w.found
	}
	w.asked, w.found = time.Now(), l.Missing()
	return w.found
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nc != nil {
		w.nc.Close()
	}
}
