package stack

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

// Env is what one process runs with.
type Env struct {
	Config   settings.Config
	Dir      *datadir.Dir
	Log      *slog.Logger
	Registry *prometheus.Registry
	Secret   []byte // of the instance
	Version  string
	HTTP     atomic.Pointer[string] // address of the gateway, once it listens
	// Wait is how long is waited for what others run; 0 means not at all.
	Wait time.Duration
	// Waiting is told of that after a second and every few seconds then; it may
	// be nil.
	Waiting func(w Waiting)
	// Notice is told what has been started, for people; it may be nil.
	Notice func(n Notice)
}

// Notice is a part that is up.
type Notice struct {
	Part   string        `json:"part"`
	Detail string        `json:"detail"`
	Took   time.Duration `json:"-"`
}

func (e *Env) notice(part, detail string, began time.Time) {
	if e.Notice != nil {
		e.Notice(Notice{part, detail, time.Since(began)})
	}
}
