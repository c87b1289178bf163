package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/federation"
	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/ingestion"
	"github.com/commandcenter/commandcenter/services/jobs"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/research"
)

// EnvPrefix begins the variables of settings that have no name of their own.
const EnvPrefix = "CC_"

// Config is everything that can be set. Its zero value is not useful; begin
// with [Default].
type Config struct {
	HTTP        string `config:"http" flag:"http" usage:"address of the HTTP server, host:port"`
	NATS        string `config:"nats" flag:"nats" usage:"address of the embedded NATS server, host:port"`
	DataDir     string `config:"data_dir" flag:"data-dir" usage:"directory of everything that is kept"`
	DatabaseURL string `config:"database_url" env:"DATABASE_URL,CC_DATABASE_URL" flag:"database-url" secret:"true" usage:"PostgreSQL to use instead of a private one (a role that may create roles and schemas)"`
	NATSURL     string `config:"nats_url" env:"NATS_URL,CC_NATS_URL" flag:"nats-url" secret:"true" usage:"NATS to use instead of an embedded one"`
	Replicas    int    `config:"nats_replicas" env:"CC_NATS_REPLICAS" usage:"copies of each stream: 1, or 3 on a cluster of NATS servers"`
	Log         Log    `config:"log"`
	OTLP        string `config:"otlp_endpoint" env:"CC_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" flag:"otlp-endpoint" usage:"where traces are sent by OTLP over HTTP, e.g. http://127.0.0.1:4318; empty sends none"`
	Ops         string `config:"ops" flag:"ops" usage:"address of a listener for /metrics and /health of a process without the gateway; empty opens none"`

	Secrets    Secrets           `config:"secrets"`
	Egress     Egress            `config:"egress"`
	Gateway    Gateway           `config:"gateway"`
	Auth       auth.Config       `config:"auth"`
	Knowledge  knowledge.Config  `config:"knowledge"`
	Federation federation.Config `config:"federation"`
	Ingestion  ingestion.Config  `config:"ingestion"`
	Research   research.Config   `config:"research"`
	Jobs       jobs.Config       `config:"jobs"`
	Hub        Hub               `config:"hub"`
	Cluster    Cluster           `config:"cluster"`
	Client     Client            `config:"client"`
}

// Log says what is written down, and how.
type Log struct {
	Level  slog.Level `config:"level" flag:"log-level" usage:"debug, info, warn or error"`
	Format string     `config:"format" flag:"log-format" usage:"json or text, to standard error; auto writes a file below the data directory when a terminal watches"`
}

// Secrets says where the keys are that seal secrets in the database.
type Secrets struct {
	KeyFile string `config:"key_file" usage:"file of the sealing keys, a Tink keyset in JSON; empty takes keys/sealing.json below the data directory, and makes it"`
	Keys    string `config:"keys" secret:"true" usage:"the sealing keys themselves, in place of a file"`
	KMS     string `config:"kms" usage:"address of a KMS key that encrypts the sealing keys, for builds with a Tink client for it; empty: they are as they are"`
}

// Egress says what may be called of what people give.
type Egress struct {
	Allow []string `config:"allow" usage:"networks and addresses, such as 10.1.0.0/16, that sources may be in though they are not public"`
}

// Gateway is what concerns the edge. What is not here is as the service has it.
type Gateway struct {
	Origins        []string `config:"origins" env:"CC_ORIGINS" flag:"origins" usage:"browser origins that may call the API (CORS)"`
	CertFile       string   `config:"cert_file" flag:"cert-file" usage:"certificate, to speak TLS; with key_file"`
	KeyFile        string   `config:"key_file" flag:"key-file" usage:"private key of the certificate"`
	TrustedProxies []string `config:"trusted_proxies" usage:"addresses or networks whose X-Forwarded-For is believed"`
	Operations     []string `config:"operation_limits" usage:"other limits of operations that have one of their own in the contract, such as register=50/hour"`
	Anonymous      string   `config:"anonymous" usage:"most calls per address without a valid token, such as 60/minute; off is no limit"`
	Reads          string   `config:"reads" usage:"most reads per user; off is no limit"`
	Writes         string   `config:"writes" usage:"most writes per user; off is no limit"`
	Metrics        string   `config:"metrics" usage:"who may read /metrics: loopback, public or off"`
	LogRequests    bool     `config:"log_requests" usage:"one line per call in the log; failures are logged always"`

	MaxConns       int           `config:"max_conns" usage:"open connections"`
	MaxInFlight    int           `config:"max_in_flight" usage:"calls in hand; what is more is answered 503"`
	MaxArchive     int64         `config:"max_archive" usage:"bytes of a project's archive that is imported"`
	MaxBacklog     int           `config:"max_backlog" usage:"commands that may wait for a service; what is more is answered 503"`
	MaxStreams     int           `config:"max_streams" usage:"open event streams"`
	MaxPerUser     int           `config:"max_streams_per_user" usage:"open event streams of one user"`
	RequestTimeout time.Duration `config:"request_timeout" usage:"how long a service may take to answer"`
	CommandWait    time.Duration `config:"command_wait" usage:"how long a write may run before it is answered 202"`
	MaxWait        time.Duration `config:"max_wait" usage:"how long a caller may ask to wait for a write or an operation (Prefer: wait=N)"`
	UploadTimeout  time.Duration `config:"upload_timeout" usage:"how long a whole upload may take"`
	UploadStall    time.Duration `config:"upload_stall" usage:"how long an upload may pause"`
}

// Config is the gateway's configuration with these settings.
func (g Gateway) Config() gateway.Config {
	c := gateway.Defaults()
	c.Origins, c.TrustedProxies, c.CertFile, c.KeyFile = g.Origins, g.TrustedProxies, g.CertFile, g.KeyFile
	c.Anonymous, c.Reads, c.Writes, c.Metrics, c.LogRequests = g.Anonymous, g.Reads, g.Writes, g.Metrics, g.LogRequests
	c.Operations = g.Operations
	c.MaxBacklog, c.MaxArchive = g.MaxBacklog, g.MaxArchive
	c.MaxConns, c.MaxInFlight, c.MaxStreams, c.MaxPerUser = g.MaxConns, g.MaxInFlight, g.MaxStreams, g.MaxPerUser
	c.RequestTimeout, c.CommandWait, c.MaxWait, c.UploadTimeout, c.UploadStall = g.RequestTimeout, g.CommandWait, g.MaxWait, g.UploadTimeout, g.UploadStall
	return c
}

// Client is what concerns the commands that talk to a server.
type Client struct {
	Server  string `config:"server" env:"CC_SERVER" flag:"server" usage:"server to talk to; empty takes what runs from the data directory, else the address of http"`
	CAFile  string `config:"ca_file" env:"CC_CA" flag:"ca" usage:"certificates that the server's is checked against; empty takes the system's, and of what runs from the data directory its own"`
	Token   string `config:"token" env:"CC_TOKEN" secret:"true" usage:"access token or API key to use instead of the stored login"`
	Project int64  `config:"project" env:"CC_PROJECT" flag:"project" usage:"project id; 0 takes the chosen one (project use), else the server's default"`
}

// FormatAuto is a log format beside those of the logger: it looks whether a
// person is watching.
const FormatAuto = "auto"

// Default returns the settings of a machine where nothing was configured.
func Default() Config {
	g := gateway.Defaults()
	return Config{
		HTTP:     "127.0.0.1:8000",
		NATS:     "127.0.0.1:4222",
		DataDir:  datadir.Default(),
		Replicas: 1,
		Log:      Log{Level: slog.LevelInfo, Format: FormatAuto},
		Gateway: Gateway{
			Origins:   g.Origins,
			Anonymous: g.Anonymous, Reads: g.Reads, Writes: g.Writes, Metrics: g.Metrics, LogRequests: g.LogRequests, Operations: g.Operations,
			MaxBacklog: g.MaxBacklog, MaxArchive: g.MaxArchive, MaxConns: g.MaxConns, MaxInFlight: g.MaxInFlight, MaxStreams: g.MaxStreams, MaxPerUser: g.MaxPerUser,
			RequestTimeout: g.RequestTimeout, CommandWait: g.CommandWait, MaxWait: g.MaxWait, UploadTimeout: g.UploadTimeout, UploadStall: g.UploadStall,
		},
		Auth:       auth.DefaultConfig(),
		Knowledge:  knowledge.DefaultConfig(),
		Federation: federation.DefaultConfig(),
		Ingestion:  ingestion.DefaultConfig(),
		Research:   research.DefaultConfig(),
		Jobs:       jobs.DefaultConfig(),
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
	for key, addr := range map[string]string{"http": c.HTTP, "nats": c.NATS} {
		if err := address(addr); err != nil {
			bad(key, "%w", err)
		}
	}
	if c.Ops != "" {
		if err := address(c.Ops); err != nil {
			bad("ops", "%w", err)
		}
	}
	if c.DataDir == "" {
		bad("data_dir", "is empty")
	}
	if u := c.DatabaseURL; u != "" && !hasScheme(u, "postgres", "postgresql") && !strings.Contains(u, "dbname=") {
		bad("database_url", "want postgres://user:password@host:port/database, or host=... dbname=... pairs")
	}
	for _, u := range strings.Split(c.NATSURL, ",") {
		if c.NATSURL != "" && !hasScheme(strings.TrimSpace(u), "nats", "tls", "ws", "wss") {
			bad("nats_url", "want nats://host:port, or several with commas")
		}
	}
	if c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5 {
		bad("nats_replicas", "%d, want 1, 3 or 5", c.Replicas)
	}
	if !slices.Contains([]string{FormatAuto, "json", "text"}, c.Log.Format) {
		bad("log.format", "%q is not auto, json or text", c.Log.Format)
	}
	if c.OTLP != "" && !hasScheme(c.OTLP, "http", "https") {
		bad("otlp_endpoint", "want http(s)://host:port")
	}
	errs = append(errs, c.Gateway.Config().Validate(), below("auth", c.Auth.Validate()), below("knowledge", c.Knowledge.Validate()), below("federation", c.Federation.Validate()), below("ingestion", c.Ingestion.Validate()), below("research", c.Research.Validate()), below("jobs", c.Jobs.Validate()), c.Hub.validate(c.NATSURL == ""), c.Cluster.validate())
	if _, err := egress.ParseAllow(c.Egress.Allow); err != nil {
		bad("egress.allow", "%w", err)
	}
	if c.Client.Server != "" && !hasScheme(c.Client.Server, "http", "https") {
		bad("client.server", "want http(s)://host:port")
	}
	if c.Client.Project < 0 {
		bad("client.project", "want a project id")
	}
	return errors.Join(errs...)
}

func address(addr string) error {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return fmt.Errorf("%q: want host:port", addr)
	}
	return nil
}

// hasScheme accepts addresses without a host too: a database may be behind a
// socket whose directory is a parameter.
func hasScheme(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains(schemes, u.Scheme) && u.Opaque == "" && (u.Host != "" || u.Path != "")
}

// below puts the section before each of the faults.
func below(section string, err error) error {
	if err == nil {
		return nil
	}
	var out []error
	for line := range strings.Lines(err.Error()) {
		out = append(out, errors.New(section+"."+strings.TrimSpace(line)))
	}
	return errors.Join(out...)
}

// ServerURL is the server that client commands talk to when nothing runs from the
// data directory that says otherwise.
func (c Config) ServerURL() string {
	if c.Client.Server != "" {
		return strings.TrimRight(c.Client.Server, "/")
	}
	return c.OwnURL(c.HTTP)
}

// OwnURL is how this instance is called when its gateway listens at addr.
func (c Config) OwnURL(addr string) string { return c.Gateway.Config().URL(Reachable(addr)) }

// Reachable turns an address to listen on into one to call.
func Reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Home is the directory of the user's settings and credentials:
// $XDG_CONFIG_HOME/commandcenter, else ~/.config/commandcenter.
func Home() string {
	if d := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "commandcenter")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "commandcenter")
	}
	return filepath.Join(home, ".config", "commandcenter")
}

// DefaultFile is the file that is read when none is named.
func DefaultFile() string { return filepath.Join(Home(), "config.yaml") }
