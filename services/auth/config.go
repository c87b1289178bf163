package auth

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/services/auth/internal/invitation"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Config is what can be set of the service. Begin with [DefaultConfig].
type Config struct {
	Issuer   string `config:"issuer" usage:"issuer named in access tokens; the gateway must expect the same"`
	Audience string `config:"audience" usage:"audience named in access tokens; the gateway must expect the same"`

	AccessLife    time.Duration `config:"access_life" usage:"how long an access token is good"`
	RefreshLife   time.Duration `config:"refresh_life" usage:"how long a refresh token is good, and a session that nobody uses"`
	SessionMax    time.Duration `config:"session_max" usage:"how long a session lasts at most, however much it is used"`
	RefreshGrace  time.Duration `config:"refresh_grace" usage:"how soon after its trade a refresh token sent twice is refused without ending the session"`
	KeyRotation   time.Duration `config:"key_rotation" usage:"how long a signing key signs"`
	KeyAnnounce   time.Duration `config:"key_announce" usage:"how long before it signs a key is published"`
	KeyMaxLife    time.Duration `config:"key_max_life" usage:"how long an API key may live; 0 for no limit, and none by default"`
	Housekeeping  time.Duration `config:"housekeeping" usage:"how often keys are looked after and what has run out is removed"`
	RemindPurge   time.Duration `config:"remind_purge" usage:"how long a project being deleted waits for a service before it is asked again"`
	TenantHolders []string      `config:"tenant_holders" usage:"services of this deployment that keep rows of projects: they purge on deletion, and are asked for counts"`

	Registration   string        `config:"registration" usage:"who may register: open (everybody), invitation (whoever has one), or closed (nobody)"`
	InvitationLife time.Duration `config:"invitation_life" usage:"how long an invitation is good whose inviter says nothing"`
	InvitationURL  string        `config:"invitation_url" usage:"address of the page on which people accept invitations; links to it have the secret after the #. Empty for the product's own, below auth.public_url"`

	PasswordResetLife time.Duration `config:"password_reset_life" usage:"how long somebody may choose a password anew for whom a superuser has issued a reset"`
	PasswordResetURL  string        `config:"password_reset_url" usage:"address of the page on which people do so; links to it have the secret after the #. Empty for the product's own, below auth.public_url"`

	PublicURL string `config:"public_url" usage:"address under which people reach this instance, such as https://cc.example.org; cookies are for TLS alone when it is https"`
	OIDC      OIDC   `config:"oidc"`

	Import   Import   `config:"import"`
	Password Password `config:"password"`
	Throttle Throttle `config:"throttle"`
}

// OIDC is the identity provider by which people may log in; without an issuer
// there is none.
type OIDC struct {
	Issuer           string   `config:"issuer" usage:"address of the OpenID Connect provider; empty for none"`
	ClientID         string   `config:"client_id" usage:"under which this instance is registered there, with the callback <auth.public_url>/api/v1/auth/oidc/callback"`
	ClientSecret     string   `config:"client_secret" secret:"true" usage:"secret of the registration; empty for a public client"`
	ClientSecretFile string   `config:"client_secret_file" usage:"file that holds it, in the place of client_secret"`
	Scopes           []string `config:"scopes" usage:"what the provider is asked for; openid and email are needed"`
}

// secret is the secret of the registration.
func (o OIDC) secret() (string, error) {
	if o.ClientSecretFile == "" {
		return o.ClientSecret, nil
	}
	text, err := os.ReadFile(o.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("oidc.client_secret_file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Import bounds the archives that are imported.
type Import struct {
	MaxBytes   int64 `config:"max_bytes" usage:"bytes that an archive may unpack to"`
	MaxObject  int64 `config:"max_object" usage:"bytes of one file in an archive"`
	MaxMembers int64 `config:"max_members" usage:"files in an archive"`
	MaxRows    int64 `config:"max_rows" usage:"rows in an archive"`
	MaxNaming  int64 `config:"max_naming" usage:"rows of an archive that have the same file"`
}

// Bounds are those of a reader of archives.
func (i Import) Bounds() archive.Bounds {
	return archive.Bounds{Bytes: i.MaxBytes, Object: i.MaxObject, Members: i.MaxMembers, Rows: i.MaxRows, Naming: i.MaxNaming}
}

// Password is the cost of password hashes (argon2id).
type Password struct {
	MemoryKiB   int `config:"memory_kib" usage:"memory of one hash, in KiB"`
	Iterations  int `config:"iterations" usage:"passes over the memory"`
	Parallelism int `config:"parallelism" usage:"lanes"`
	Concurrent  int `config:"concurrent" usage:"hashes at a time; each takes its memory and one processor"`
	Waiting     int `config:"waiting" usage:"logins and registrations that may wait for a hash; more are told to try again"`
}

// Throttle is what failed logins of one account cost. They lock it for the
// network address that they come from, as the gateway sees it, and only when
// there are very many of them for everybody: guessing from many addresses is
// slowed, and whoever wants to lock somebody out needs many.
type Throttle struct {
	Failures int           `config:"failures" usage:"failed logins within the window, from one network address, that lock an account for that address"`
	Window   time.Duration `config:"window" usage:"in which failed logins add up"`
	Lock     time.Duration `config:"lock" usage:"the first lock; each further one is twice as long"`
	MaxLock  time.Duration `config:"max_lock" usage:"the longest lock"`

	Ceiling     int           `config:"ceiling" usage:"failed logins within the window, from all addresses, that lock an account for everybody"`
	CeilingLock time.Duration `config:"ceiling_lock" usage:"the first lock for everybody; each further one is twice as long, up to max_lock"`
}

// DefaultConfig is right for an instance of any size; it holds no secret.
func DefaultConfig() Config {
	return Config{
		Issuer: "commandcenter", Audience: "commandcenter",
		AccessLife:   30 * time.Minute,
		RefreshLife:  7 * 24 * time.Hour,
		SessionMax:   90 * 24 * time.Hour,
		RefreshGrace: 2 * time.Second,
		KeyRotation:  30 * 24 * time.Hour,
		KeyAnnounce:  time.Hour,
		Housekeeping: 10 * time.Minute,
		RemindPurge:  time.Hour,

		TenantHolders: []string{"knowledge", "federation", "ingestion", "research", "jobs"},

		Registration:   string(user.OpenToAll),
		InvitationLife: 7 * 24 * time.Hour,

		PasswordResetLife: time.Hour,

		OIDC: OIDC{Scopes: []string{"openid", "email", "profile"}},

		Import: Import{MaxBytes: 8 << 30, MaxObject: 64 << 20, MaxMembers: 1_000_000, MaxRows: 20_000_000, MaxNaming: 10_000},

		// The parameters of OWASP's password storage cheat sheet.
		Password: Password{MemoryKiB: 19456, Iterations: 2, Parallelism: 1, Concurrent: 2, Waiting: 32},
		Throttle: Throttle{Failures: 5, Window: 15 * time.Minute, Lock: time.Minute, MaxLock: 15 * time.Minute, Ceiling: 100, CeilingLock: time.Minute},
	}
}

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// webPage reports whether a fragment can be added to the address.
func webPage(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
}

// page is where the secret of a link is used: the address of a setting, or the
// product's own page; "" where nobody knows under which address that is reached.
func (c Config) page(set string) string {
	if set != "" || c.PublicURL == "" {
		return set
	}
	return strings.TrimRight(c.PublicURL, "/") + "/ui"
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	bad(c.Issuer != "", "issuer: is empty")
	bad(c.Audience != "", "audience: is empty")
	bad(c.Import.MaxBytes > 0 && c.Import.MaxObject > 0 && c.Import.MaxMembers > 0 && c.Import.MaxRows > 0 && c.Import.MaxNaming > 0, "import: want bounds above zero")
	bad(c.AccessLife >= time.Minute && c.AccessLife <= 24*time.Hour, "access_life: %v, want 1 minute to 24 hours", c.AccessLife)
	bad(c.RefreshLife >= c.AccessLife, "refresh_life: %v, want at least access_life (%v)", c.RefreshLife, c.AccessLife)
	bad(c.SessionMax >= c.RefreshLife, "session_max: %v, want at least refresh_life (%v)", c.SessionMax, c.RefreshLife)
	bad(c.RefreshGrace >= 0 && c.RefreshGrace <= 30*time.Second, "refresh_grace: %v, want 0 to 30 seconds", c.RefreshGrace)
	bad(c.Housekeeping > 0, "housekeeping: %v, want above zero", c.Housekeeping)
	bad(c.KeyAnnounce >= 2*c.Housekeeping, "key_announce: %v, want at least twice housekeeping (%v)", c.KeyAnnounce, c.Housekeeping)
	bad(c.KeyRotation >= 4*c.KeyAnnounce, "key_rotation: %v, want at least four times key_announce (%v)", c.KeyRotation, c.KeyAnnounce)
	bad(c.KeyMaxLife == 0 || c.KeyMaxLife >= time.Hour, "key_max_life: %v, want 0 or at least an hour", c.KeyMaxLife)
	bad(c.RemindPurge > 0, "remind_purge: %v, want above zero", c.RemindPurge)
	for _, name := range c.TenantHolders {
		bad(serviceName.MatchString(name), "tenant_holders: %q is no name of a service", name)
	}
	bad(slices.Contains(user.Modes(), user.Mode(c.Registration)), "registration: %q, want one of %v", c.Registration, user.Modes())
	bad(c.InvitationLife >= time.Hour && c.InvitationLife <= invitation.MaxDays*24*time.Hour, "invitation_life: %v, want 1 hour to %d days", c.InvitationLife, invitation.MaxDays)
	bad(c.InvitationURL == "" || webPage(c.InvitationURL), "invitation_url: %q is no http or https address without fragment", c.InvitationURL)
	bad(c.PasswordResetLife >= time.Minute && c.PasswordResetLife <= 24*time.Hour, "password_reset_life: %v, want 1 minute to 24 hours", c.PasswordResetLife)
	bad(c.PasswordResetURL == "" || webPage(c.PasswordResetURL), "password_reset_url: %q is no http or https address without fragment", c.PasswordResetURL)
	public, err := url.Parse(c.PublicURL)
	bad(c.PublicURL == "" || err == nil && (public.Scheme == "https" || public.Scheme == "http") && public.Host != "" && strings.Trim(public.Path, "/") == "",
		"public_url: %q, want http(s)://host", c.PublicURL)
	if o := c.OIDC; o.Issuer != "" {
		bad(o.ClientID != "", "oidc.client_id: is empty")
		bad(c.PublicURL != "", "public_url: is empty, and oidc.issuer is set")
		bad(slices.Contains(o.Scopes, "openid") && slices.Contains(o.Scopes, "email"), "oidc.scopes: %v, want openid and email", o.Scopes)
		bad(o.ClientSecret == "" || o.ClientSecretFile == "", "oidc.client_secret: is set, and oidc.client_secret_file too")
	}
	p := c.Password
	bad(p.MemoryKiB >= 8 && p.MemoryKiB <= 1<<20, "password.memory_kib: %d, want 8 to 1048576", p.MemoryKiB)
	bad(p.Iterations >= 1 && p.Iterations <= 64, "password.iterations: %d, want 1 to 64", p.Iterations)
	bad(p.Parallelism >= 1 && p.Parallelism <= 64, "password.parallelism: %d, want 1 to 64", p.Parallelism)
	bad(p.Concurrent >= 1, "password.concurrent: %d, want at least 1", p.Concurrent)
	bad(p.Waiting >= 0 && p.Waiting <= 1024, "password.waiting: %d, want 0 to 1024", p.Waiting)
	t := c.Throttle
	bad(t.Failures >= 1, "throttle.failures: %d, want at least 1", t.Failures)
	bad(t.Window > 0, "throttle.window: %v, want above zero", t.Window)
	bad(t.Lock > 0, "throttle.lock: %v, want above zero", t.Lock)
	bad(t.MaxLock >= t.Lock, "throttle.max_lock: %v, want at least lock (%v)", t.MaxLock, t.Lock)
	bad(t.Ceiling >= 1, "throttle.ceiling: %d, want at least 1", t.Ceiling)
	bad(t.CeilingLock > 0, "throttle.ceiling_lock: %v, want above zero", t.CeilingLock)
	return errors.Join(faults...)
}
