package stack

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"strings"
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
	HTTP     atomic.Pointer[string]   // address of the gateway, once it listens
	Second   atomic.Pointer[string]   // address of the second gateway, where there are two
	NATS     atomic.Pointer[string]   // address of NATS, once it listens here
	Hub      atomic.Pointer[[]string] // what is to be said of the hub, once NATS runs here
	// Wait is how long is waited for what others run; 0 means not at all.
	Wait time.Duration
	// Waiting is told of that after a second and every few seconds then; it may
	// be nil.
	Waiting func(w Waiting)
	// Notice is told what has been started, for people; it may be nil.
	Notice func(n Notice)
}

// PublishHTTP writes down for clients of this machine where the gateway listens,
// and the certificate that it shows there.
func PublishHTTP(e *Env) error {
	cert, err := shown(e.Config.Gateway.CertFile)
	if err != nil {
		return err
	}
	// The certificate first: who finds the address finds it.
	if err := e.Dir.Publish(datadir.EndpointCert, cert); err != nil {
		return err
	}
	return e.Dir.Publish(datadir.EndpointHTTP, *e.HTTP.Load())
}

// shown is the certificate in a file, without what else is there: its key may
// be. "" when there is no file.
func shown(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	rest, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("gateway.cert_file: %w", err)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return "", fmt.Errorf("gateway.cert_file: no certificate in %s", file)
		}
		if block.Type == "CERTIFICATE" {
			return strings.TrimSpace(string(pem.EncodeToMemory(block))), nil
		}
	}
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
