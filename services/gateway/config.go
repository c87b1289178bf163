package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// Config is how the gateway behaves. Its zero value is not useful; begin with
// [Defaults].
type Config struct {
	App     string // name shown to callers
	Version string

	Addr     string // host:port of the HTTP listener
	CertFile string // with KeyFile: speak TLS
	KeyFile  string

	Origins     []string      // browser origins that may call (CORS)
	Credentials bool          // whether they may send cookies
	CORSMaxAge  time.Duration // for which a browser remembers a preflight

	// TrustedProxies are the networks whose X-Forwarded-For and
	// X-Forwarded-Proto are believed, as addresses or prefixes.
	TrustedProxies []string

	Issuer   string // of access tokens
	Audience string // of access tokens

	MaxBody     int64 // bytes of a JSON body, unless the operation says otherwise
	MaxUpload   int64 // bytes of a file, unless the operation says otherwise
	MaxArchive  int64 // bytes of a project's archive
	MaxHeader   int   // bytes of request line and headers
	MaxConns    int   // open connections
	MaxInFlight int   // calls in hand; what is more is answered 503
	MaxBacklog  int   // commands that may wait for a service; for the bus's configuration
	MaxStreams  int   // open event streams
	MaxPerUser  int   // open event streams of one caller

	RequestTimeout time.Duration // for a service to answer, unless the operation says otherwise
	CommandWait    time.Duration // for a command to run before it is answered 202
	MaxWait        time.Duration // for a command or an operation at most, when the caller prefers to wait
	UploadTimeout  time.Duration // for a whole upload
	UploadStall    time.Duration // for an upload without a byte
	HealthTimeout  time.Duration // for every part to say how it is
	Heartbeat      time.Duration // of event streams
	AccessKept     time.Duration // for which the standing of a caller is believed

	// Limits of calls: "600/minute"; "" or "off" is none. Operations may have
	// their own in the contract.
	Anonymous string // per address, without a valid token
	Reads     string // per user
	Writes    string // per user
	// Operations are other limits for operations whose contract gives them one, as
	// "register=50/hour".
	Operations []string

	Metrics     string // who may read /metrics: loopback, public or off
	LogRequests bool   // one line per call at level info; failures are logged always
}

// Defaults is the configuration of a machine where nothing was configured.
func Defaults() Config {
	return Config{
		App: "CommandCenter", Version: "0.0.0", Addr: "127.0.0.1:8000",
		Origins:    []string{"http://localhost:3000", "http://localhost:4173", "http://localhost:5173"},
		CORSMaxAge: 10 * time.Minute,
		Issuer:     "commandcenter", Audience: "commandcenter",
		MaxBody: 768 << 10, MaxUpload: 20 << 20, MaxArchive: 2 << 30, MaxHeader: 32 << 10, MaxConns: 10_000, MaxInFlight: 512,
		MaxBacklog: 10_000, MaxStreams: 1000, MaxPerUser: 20,
		RequestTimeout: 10 * time.Second, CommandWait: 5 * time.Second, MaxWait: time.Minute, UploadTimeout: 15 * time.Minute, UploadStall: 30 * time.Second,
		HealthTimeout: 2 * time.Second, Heartbeat: 15 * time.Second, AccessKept: time.Minute,
		Anonymous: "60/minute", Reads: "3000/minute", Writes: "600/minute",
		Metrics: string(serve.MetricsLoopback), LogRequests: true,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faulty []error
	bad := func(key, format string, args ...any) {
		faulty = append(faulty, fmt.Errorf("gateway."+key+": "+format, args...))
	}
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || port == "" {
		bad("addr", "%q: want host:port", c.Addr)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("cert_file", "a certificate and its key go together")
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Path != "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("origins", "%q is not an origin such as https://app.example", o)
		}
	}
	if _, err := c.proxies(); err != nil {
		bad("trusted_proxies", "%w", err)
	}
	for key, text := range map[string]string{"anonymous": c.Anonymous, "reads": c.Reads, "writes": c.Writes} {
		if _, err := parseRate(text); err != nil {
			bad(key, "%w", err)
		}
	}
	if _, err := c.operations(); err != nil {
		bad("operation_limits", "%w", err)
	}
	for key, n := range map[string]int64{
		"max_body": c.MaxBody, "max_upload": c.MaxUpload, "max_archive": c.MaxArchive, "max_header": int64(c.MaxHeader), "max_conns": int64(c.MaxConns),
		"max_in_flight": int64(c.MaxInFlight), "max_backlog": int64(c.MaxBacklog), "max_streams": int64(c.MaxStreams), "max_streams_per_user": int64(c.MaxPerUser),
		"request_timeout": int64(c.RequestTimeout), "command_wait": int64(c.CommandWait), "max_wait": int64(c.MaxWait), "upload_timeout": int64(c.UploadTimeout),
		"upload_stall": int64(c.UploadStall), "health_timeout": int64(c.HealthTimeout), "heartbeat": int64(c.Heartbeat),
		"access_kept": int64(c.AccessKept),
	} {
		if n <= 0 {
			bad(key, "%d: want more than zero", n)
		}
	}
	if c.AccessKept > time.Minute {
		bad("access_kept", "%s: at most a minute, or a revocation takes too long when its event is lost", c.AccessKept)
	}
	switch serve.Metrics(c.Metrics) {
	case serve.MetricsLoopback, serve.MetricsPublic, serve.MetricsOff:
	default:
		bad("metrics", "%q is not loopback, public or off", c.Metrics)
	}
	return errors.Join(faulty...)
}

func (c Config) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.TrustedProxies {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// operations are the limits of operations, by their ids. There is no off among
// them: what is open to everybody stays bounded.
func (c Config) operations() (map[string]contract.Rate, error) {
	out := map[string]contract.Rate{}
	for _, text := range c.Operations {
		id, rate, ok := strings.Cut(strings.TrimSpace(text), "=")
		if !ok || id == "" {
			return nil, fmt.Errorf("%q: want <operation>=<number>/<second, minute, hour or day>, such as register=50/hour", text)
		}
		r, err := contract.ParseRate(strings.TrimSpace(rate))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		out[strings.TrimSpace(id)] = r
	}
	return out, nil
}

func parseRate(text string) (*contract.Rate, error) {
	if text == "" || text == "off" {
		return nil, nil
	}
	r, err := contract.ParseRate(text)
	return &r, err
}

// URL is how callers call what listens at addr.
func (c Config) URL(addr string) string {
	if c.CertFile != "" {
		return "https://" + addr
	}
	return "http://" + addr
}

func (c Config) tls() (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("gateway: certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// serve turns the checked configuration into what the edge takes.
func (c Config) serve() (serve.Config, error) {
	proxies, err := c.proxies()
	if err != nil {
		return serve.Config{}, err
	}
	out := serve.Config{
		App: c.App, Version: c.Version, Origins: c.Origins, Credentials: c.Credentials, CORSMaxAge: c.CORSMaxAge,
		TrustedProxies: proxies, TLS: c.CertFile != "",
		MaxBody: c.MaxBody, MaxUpload: c.MaxUpload, MaxArchive: c.MaxArchive, MaxInFlight: c.MaxInFlight, MaxStreams: c.MaxStreams, MaxPerUser: c.MaxPerUser,
		RequestTimeout: c.RequestTimeout, CommandWait: c.CommandWait, MaxWait: c.MaxWait, UploadTimeout: c.UploadTimeout, UploadStall: c.UploadStall,
		HealthTimeout: c.HealthTimeout, Heartbeat: c.Heartbeat, Metrics: serve.Metrics(c.Metrics), LogRequests: c.LogRequests,
	}
	var faulty [4]error
	out.Anonymous, faulty[0] = parseRate(c.Anonymous)
	out.Reads, faulty[1] = parseRate(c.Reads)
	out.Writes, faulty[2] = parseRate(c.Writes)
	out.Operations, faulty[3] = c.operations()
	return out, errors.Join(faulty[:]...)
}

func (c Config) listen() (serve.ListenConfig, error) {
	t, err := c.tls()
	return serve.ListenConfig{
		Addr: c.Addr, TLS: t, MaxConns: c.MaxConns, MaxHeader: c.MaxHeader,
		ReadHeader: 5 * time.Second, Read: 30 * time.Second, Write: time.Minute, Idle: 2 * time.Minute,
	}, err
}
