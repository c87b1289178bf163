package auth

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/inbox"
	"github.com/commandcenter/commandcenter/services/auth/internal/invitation"
	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/member"
	"github.com/commandcenter/commandcenter/services/auth/internal/password"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
	"github.com/commandcenter/commandcenter/services/auth/internal/reset"
	"github.com/commandcenter/commandcenter/services/auth/internal/serve"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
	"github.com/commandcenter/commandcenter/services/auth/internal/token"
	"github.com/commandcenter/commandcenter/services/auth/internal/trail"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "auth"

// otherWorkers answer what needs no password.
const otherWorkers = 16

//go:embed migrations/*.sql
var files embed.FS

// Migrations makes the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations"}

// Deps is what the service is built from. DB, Bus, Secrets and Secret are needed.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Log        *slog.Logger          // slog.Default() when nil
	Registerer prometheus.Registerer // nil keeps no metrics
	// Secrets seals the signing keys.
	Secrets *secret.Ring
	// Secret is the secret of the instance, 32 bytes or more. It opens signing keys
	// that were sealed before there was a ring.
	Secret []byte
	Now    func() time.Time // time.Now when nil
	// Areas are what scopes of API keys may name: the tags of the HTTP contract.
	// None accept every well-formed name.
	Areas []string
	// CheckRow refuses a row of an archive that the service whose it is would not have
	// written. It asks nobody, so that it can be asked before anything is taken in. nil
	// knows the rows of auth alone: the other services look at theirs in any case.
	CheckRow func(service, table string, row []byte) error
	// Version of the build, as $SRV.PING shows it.
	Version string
}

// importsAtOnce is how many imports a process does at a time.
const importsAtOnce = 2

// New wires the service. Nothing runs before its parts are started.
func New(d Deps, c Config) (*app.Module, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if d.DB == nil || d.Bus == nil {
		return nil, errors.New("auth: a database and a bus are needed")
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.CheckRow == nil {
		d.CheckRow = checkOwn
	}
	log := d.Log.With("service", Name)
	now := clock(d.Now)

	hasher, err := newHasher(c.Password)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	store := postgres.New(d.DB)
	users, sessions, projects := postgres.Users{Store: store}, postgres.Sessions{Store: store}, postgres.Projects{Store: store}

	sealer, err := token.NewSealer(d.Secrets, d.Secret)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	keys, err := token.NewKeys(store, sealer, token.Rotation{
		Every: c.KeyRotation, Announce: c.KeyAnnounce, Keep: c.AccessLife + c.KeyAnnounce,
	})
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	issuer := token.Issuer{Keys: keys, Name: c.Issuer, Audience: c.Audience, Life: c.AccessLife, Now: now}
	counts, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}

	throttle := user.Throttle{
		Failures: c.Throttle.Failures, Window: c.Throttle.Window, Lock: c.Throttle.Lock, MaxLock: c.Throttle.MaxLock,
	}
	ceiling := user.Throttle{
		Failures: c.Throttle.Ceiling, Window: c.Throttle.Window, Lock: c.Throttle.CeilingLock, MaxLock: c.Throttle.MaxLock,
	}
	catalogue := project.Service{Projects: projects, Now: now}
	deletion := project.Deletion{Projects: projects, Streams: busStreams{d.Bus}, Holders: c.TenantHolders, Now: now}
	ends := &purger{every: c.Housekeeping, deletion: deletion, kick: make(chan struct{}, 1), log: log}
	resolver := access.Resolver{Standing: store, Now: now}
	census := project.Census{Projects: catalogue}
	if slices.Contains(c.TenantHolders, "knowledge") {
		census.Knowledge = countDocuments(d.Bus)
	}
	if slices.Contains(c.TenantHolders, "research") {
		census.Research = countResearch(d.Bus)
	}
	authenticator := user.Authenticator{Passwords: hasher, Accounts: users, Throttle: throttle, Ceiling: ceiling, Now: now, Refused: serve.NoteRefused}
	signOn, err := newSignOn(d.Secret, c, users, hasher, now)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	rules := session.Rules{Refresh: c.RefreshLife, Longest: c.SessionMax, Grace: c.RefreshGrace}
	apiKeys, uses := postgres.Keys{Store: store}, &key.Uses{}
	invitations := invitation.Service{Invitations: postgres.Invitations{Store: store}, Life: c.InvitationLife, Page: c.page(c.InvitationURL), Now: now}
	imports := postgres.Imports{Store: store, Holders: c.TenantHolders}
	resets := reset.Service{
		Resets: postgres.Resets{Store: store}, Passwords: hasher, Throttle: throttle, Life: c.PasswordResetLife, Page: c.page(c.PasswordResetURL), Now: now,
	}
	audits := trail.Service{Log: postgres.Trail{Store: store}, Now: now}
	handlers := &serve.Handlers{
		Keys:            key.Keeper{Keys: apiKeys, Now: now, Rules: key.Rules{MaxLife: c.KeyMaxLife, Areas: d.Areas}},
		ServiceAccounts: key.Accounts{Store: apiKeys, Now: now},
		KeyReader:       key.Reader{Keys: apiKeys, Uses: uses, Now: now},
		Directory:       user.Directory{Accounts: users, Now: now},
		Trail:           audits,
		Imports:         imports,
		Names:           store,
		Browsers:        session.Browsers{Sessions: sessions, Rules: rules, Now: now},
		SignOn:          signOn,
		Rotator:         token.Rotator{Keys: keys, Store: store, Now: now},
		PublicURL:       c.PublicURL,

		Registrar:     user.Registrar{Passwords: hasher, Accounts: users, Invitations: invitations, Mode: user.Mode(c.Registration), Now: now},
		Members:       member.Service{Members: postgres.Members{Store: store}, Now: now},
		Invitations:   invitations,
		Authenticator: authenticator,
		Changer:       user.Changer{Authenticator: authenticator, Passwords: hasher, Accounts: users, Now: now},
		Accounts:      users,
		State:         store,
		Resets:        resets,
		Sessions: session.Service{
			Sessions: sessions, Tokens: issuer, Now: now,
			Rules: rules,
			Stolen: func(ctx context.Context, s session.Session) {
				counts.stolen.Inc()
				log.WarnContext(ctx, "session.reuse_detected", "session_id", s.ID, "user_id", s.UserID)
			},
			Refused: serve.NoteToken,
		},
		Keeper:   session.Keeper{Sessions: sessions, Now: now},
		Projects: catalogue, Census: census, Deletion: deletion, Deleting: ends.wake, Quotas: quota.Service{Quotas: postgres.Quotas{Store: store}, Now: now}, Resolver: resolver, Issuer: issuer,
		LoggedIn: func(outcome string) { counts.logins.WithLabelValues(outcome).Inc() },
	}
	checks := []app.Check{
		{Name: "auth.database", Check: d.DB.Ping},
		{Name: "auth.signing_keys", Check: func(context.Context) error { return keys.Ready(now()) }},
	}
	server := bus.NewServer(d.Bus, bus.ServerConfig{
		Service: Name, Version: d.Version, DB: d.DB, Checks: checks,
		// Whoever waits for a hash holds a worker; the rest is for everybody else,
		// above all for the gateway's questions of access.
		Workers: otherWorkers + c.Password.Concurrent + c.Password.Waiting,
	})
	handlers.Register(server)
	portable.ServeExport(server, portable.Exporter{DB: d.DB, Plan: Portable})
	work := jobs.New(d.DB, d.Bus, jobs.Config{Workers: importsAtOnce, Window: importsAtOnce, Log: log, Registerer: d.Registerer})
	importer := transfer.Importer{
		Objects: objects{d.Bus}, Services: parts{d.Bus}, Holders: c.TenantHolders, Own: Name, Versions: Migrations.Versions, Projects: imports, Now: now,
		Bounds: c.Import.Bounds(), Check: d.CheckRow,
	}
	work.Handle(postgres.ImportJob, importing(importer, server))
	heard := bus.NewInbox(d.Bus, bus.InboxConfig{Service: Name, DB: d.DB})
	(&inbox.Handlers{Deletion: deletion, Trail: audits, Confirmed: ends.wake}).Register(heard)

	// Another replica may have replaced the keys: nobody signs with one of before.
	rotated := bus.Follow(d.Bus, func(ctx context.Context, _ bus.Meta, _ *authv1.SigningKeyRotated) {
		if err := keys.Refresh(ctx, now()); err != nil {
			log.ErrorContext(ctx, "auth.signing_keys", "err", err)
		}
	})
	keeper := &housekeeper{
		every: c.Housekeeping, remind: c.RemindPurge, forget: throttle.Forgets(),
		imports: imports, unanswered: func(ctx context.Context, t transfer.Task) error {
			return server.Finish(ctx, tenant.Instance, t.Operation, nil, errGivenUp, ended(t, transfer.Imported{}, now(), errGivenUp))
		},
		keys: keys, store: store, deletion: deletion, audits: audits, now: now, log: log,
	}
	return &app.Module{
		Name: Name,
		// Keys before anyone can log in; the relay last, so that it is the first
		// to stop and leaves to the next leader what came after.
		Parts:      []app.Part{keeper, &useNoter{every: noteUses, uses: uses, store: apiKeys, log: log}, rotated, server, work, heard, ends, outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer))},
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}

// newSignOn makes the login by an identity provider, where one is set up.
func newSignOn(secret []byte, c Config, accounts postgres.Users, hasher *password.Hasher, now func() time.Time) (signon.Login, error) {
	sealer, err := signon.NewSealer(secret)
	if err != nil {
		return signon.Login{}, err
	}
	l := signon.Login{Sealer: sealer, Accounts: accounts, Passwords: hasher, Open: user.Mode(c.Registration) == user.OpenToAll, Now: now}
	if c.OIDC.Issuer == "" {
		return l, nil
	}
	client, err := c.OIDC.secret()
	if err != nil {
		return signon.Login{}, err
	}
	l.Provider = &signon.Provider{
		HTTP: &http.Client{Timeout: 10 * time.Second},
		Settings: signon.Settings{
			Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, ClientSecret: client, Scopes: c.OIDC.Scopes,
			Callback: strings.TrimRight(c.PublicURL, "/") + "/api/v1/auth/oidc/callback",
		},
	}
	return l, nil
}

func newHasher(p Password) (*password.Hasher, error) {
	return password.New(password.Params{
		MemoryKiB: uint32(p.MemoryKiB), Iterations: uint32(p.Iterations), Parallelism: uint8(p.Parallelism), //nolint:gosec // G115: bounded by Validate
	}, p.Concurrent, p.Waiting)
}

// clock returns time as the database keeps it, so that what was written equals
// what is read.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		now = time.Now
	}
	return func() time.Time { return now().UTC().Truncate(time.Microsecond) }
}

func countResearch(b *bus.Bus) func(ctx context.Context, id tenant.Project) (technologies, tasks int, err error) {
	return func(ctx context.Context, id tenant.Project) (int, int, error) {
		res, err := bus.CallInternal[*researchv1.CountResearchResponse](ctx, b, "research", "countResearch",
			&researchv1.CountResearchRequest{ProjectId: int32(id)}) //nolint:gosec // G115: MAXVALUE of the sequence
		return int(res.GetTechnologies()), int(res.GetTasks()), err
	}
}

func countDocuments(b *bus.Bus) func(ctx context.Context, id tenant.Project) (int, error) {
	return func(ctx context.Context, id tenant.Project) (int, error) {
		res, err := bus.CallInternal[*knowledgev1.CountDocumentsResponse](ctx, b, "knowledge", "countDocuments",
			&knowledgev1.CountDocumentsRequest{ProjectId: int32(id)}) //nolint:gosec // G115: MAXVALUE of the sequence
		if err != nil {
			return 0, err
		}
		return int(res.GetDocuments()), nil
	}
}
