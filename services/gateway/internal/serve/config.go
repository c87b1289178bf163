package serve

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/denial"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
)

// Deps is what the edge works with.
type Deps struct {
	Contract   *contract.Contract
	Bus        Bus
	Guard      *access.Guard
	Ring       *feed.Ring // of what was said last; somebody fills it
	Health     HealthOf
	Holdings   Holdings            // of services, for exports
	Streams    Streams             // of services
	Limits     Limits              // nil counts in this process alone
	Denied     func(denial.Denial) // is told of every denied request; may be nil
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer // for /metrics; nil has none
	Now        func() time.Time
}

// Config is the edge's behaviour. The gateway's own Config explains each value
// and has checked it.
type Config struct {
	App, Version string

	Origins     []string
	Credentials bool
	CORSMaxAge  time.Duration

	TrustedProxies []netip.Prefix
	TLS            bool // this listener speaks TLS itself

	MaxBody     int64 // of JSON bodies, bytes
	MaxUpload   int64 // of files, bytes
	MaxArchive  int64 // of archives of projects, bytes
	MaxInFlight int
	MaxStreams  int // open event streams
	MaxPerUser  int // open event streams of one caller

	RequestTimeout time.Duration
	CommandWait    time.Duration
	MaxWait        time.Duration // that a caller may prefer
	UploadTimeout  time.Duration // whole upload
	UploadStall    time.Duration // without a byte
	HealthTimeout  time.Duration
	Heartbeat      time.Duration // of event streams

	Anonymous *contract.Rate // per address; nil: no limit
	Reads     *contract.Rate // per user
	Writes    *contract.Rate // per user
	// Operations are the limits of operations that have one in the contract, where
	// the instance says otherwise.
	Operations  map[string]contract.Rate
	Metrics     Metrics
	LogRequests bool
}

// Metrics says who may read /metrics on the public listener.
type Metrics string

// Who may read /metrics.
const (
	MetricsLoopback Metrics = "loopback" // callers on this machine
	MetricsPublic   Metrics = "public"   // anybody
	MetricsOff      Metrics = "off"      // nobody
)
