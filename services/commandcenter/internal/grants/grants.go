package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Record is what is written down of a grant.
type Record struct {
	Name      string     `json:"name"`
	Project   int64      `json:"project_id"`
	Team      string     `json:"team"`
	Publish   []string   `json:"publish"`   // subjects
	Subscribe []string   `json:"subscribe"` // subjects
	Consumer  string     `json:"consumer"`  // durable; empty when it hears nothing
	CreatedAt time.Time  `json:"created_at"`
	ChangedAt time.Time  `json:"changed_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	// Pending is a revocation that no server has been told of yet.
	Pending *Pending `json:"pending,omitempty"`
	// Told is a revocation that a server was told of. One that is not ours may
	// forget it, when it reads an old copy of its configuration again.
	Told *Pending `json:"told,omitempty"`
}

// Pending is what a server has to be told.
type Pending struct {
	Account string `json:"account"`
	Token   string `json:"token"`
}

// Shown is what people and programs are shown: what servers were told is of no use to them.
func (r Record) Shown() Record {
	r.Told = nil
	return r
}

// State is active, expired or revoked.
func (r Record) State(now time.Time) string {
	switch {
	case r.RevokedAt != nil:
		return "revoked"
	case r.ExpiresAt != nil && r.ExpiresAt.Before(now):
		return "expired"
	}
	return "active"
}

// ErrNone says that there is no such grant.
var ErrNone = errors.New("no such grant")

// Book is where the grants of one instance are written down.
type Book struct {
	Dir string // data directory
	// Connect opens a connection as one of the instance's own users.
	Connect func(user string) (*nats.Conn, error)
	// Taker is the service that takes what teams say.
	Taker string
	Now   func() time.Time
}

func (b Book) file(name string) string {
	return filepath.Join(b.Dir, "keys", "grants", name+".json")
}

// List returns all grants by name, those that were revoked too.
func (b Book) List() ([]Record, error) {
	files, err := filepath.Glob(b.file("*"))
	if err != nil {
		return nil, err
	}
	out := make([]Record, 0, len(files))
	for _, f := range files {
		r, err := b.read(strings.TrimSuffix(filepath.Base(f), ".json"))
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (b Book) read(name string) (Record, error) {
	var r Record
	text, err := os.ReadFile(b.file(filepath.Base(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%q: %w", name, ErrNone)
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("grant %q: %w", name, err)
	}
	return r, nil
}

// alone waits until no other process changes grants. The kernel ends it when this
// one dies.
func (b Book) alone() (end func(), err error) {
	dir := filepath.Dir(b.file("x"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the grants: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // it was only read
}

func (b Book) write(r Record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replace(b.file(r.Name), append(text, '\n'))
}

// replace writes a file in one step, readable by its owner alone.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Grant makes or changes a grant. New credentials are written to out, which
// must not exist, before any server knows of them; written says whether there
// were any. A revocation under the same name that no server was told of is told
// first, and without that nothing is granted. since is where a new consumer begins: zero is now.
func (b Book) Grant(ctx context.Context, a bus.Access, out string, renew bool, since time.Time) (r Record, written bool, err error) {
	end, err := b.alone()
	if err != nil {
		return r, false, err
	}
	defer end()
	now := b.Now()
	r = Record{Name: a.Name, CreatedAt: now}
	switch was, err := b.read(a.Name); {
	case err == nil && was.RevokedAt == nil:
		r.CreatedAt = was.CreatedAt
		if was.Project != int64(a.Project) || was.Team != a.Team {
			return r, false, fmt.Errorf("grant %q is of team %s in project %d: revoke it first, or take another name", a.Name, was.Team, was.Project)
		}
	case err == nil: // credentials of before must be worth nothing when the name means something again
		if _, err := b.tell(ctx, was); err != nil {
			return r, false, err
		}
	case !errors.Is(err, ErrNone):
		return r, false, err
	}
	// The earlier credentials are refused as soon as there are new ones, which are
	// kept nowhere else: it must be sure before that they can be written.
	f, err := place(out, a.Name, renew, r.CreatedAt.Before(now))
	if err != nil {
		return r, false, err
	}
	defer f.discard()
	g, err := natsd.Grant(b.Dir, a.Grant(), renew)
	if err != nil {
		return r, false, err
	}
	if g.Creds != nil {
		if err := f.put(g.Creds); err != nil {
			return r, false, err
		}
	}
	r.Project, r.Team, r.Subscribe, r.Consumer, r.ChangedAt = int64(a.Project), a.Team, a.Subjects(), a.Durable(), now
	for _, fact := range a.Says {
		r.Publish = append(r.Publish, bus.ExternalSubject(a.Project, a.Team, fact))
	}
	if !a.Expires.IsZero() {
		r.ExpiresAt = &a.Expires
	}
	if err := b.write(r); err != nil {
		return r, false, err
	}
	return r, g.Creds != nil, errors.Join(b.push(ctx, g), b.asAdmin(func(nc *nats.Conn) error {
		return errors.Join(bus.ProvisionAccess(ctx, nc, a, since), b.settle(ctx, nc))
	}))
}

// Settle gives each team that may say something the stream for it, and removes
// those of teams that may not, once all in them was handled. admin must be a
// connection of the provisioning user.
func (b Book) Settle(ctx context.Context, admin *nats.Conn) error {
	end, err := b.alone()
	if err != nil {
		return err
	}
	defer end()
	return b.settle(ctx, admin)
}

func (b Book) settle(ctx context.Context, admin *nats.Conn) error {
	all, err := b.List()
	if err != nil {
		return err
	}
	type team struct {
		project tenant.Project
		name    string
	}
	says := map[team]bool{}
	for _, r := range all {
		t := team{tenant.Project(r.Project), r.Team}
		says[t] = says[t] || r.RevokedAt == nil && len(r.Publish) > 0
	}
	var faulty []error
	for t, does := range says {
		if does {
			err = bus.ProvisionExternal(ctx, admin, b.Taker, t.project, t.name)
		} else {
			_, err = bus.RemoveExternal(ctx, admin, t.project, t.name)
		}
		faulty = append(faulty, err)
	}
	return errors.Join(faulty...)
}

// credsFile is where credentials will be: beside it a file of this process that
// can be written.
type credsFile struct {
	path    string
	replace bool
	temp    *os.File // nil while there is none
}

// place makes room for the credentials of a grant. New ones take the place of its
// own earlier ones where renew is asked for, and of nothing else. A grant that is
// only changed makes none.
func place(path, name string, renew, changed bool) (*credsFile, error) {
	f := &credsFile{path: path, replace: renew}
	if changed && !renew {
		return f, nil
	}
	old, err := os.ReadFile(path)
	if err == nil && !renew && of(old) == name {
		return nil, fmt.Errorf("credentials: %s: %w and holds those that were revoked: --renew writes over them, --out names another file; nothing was changed", path, fs.ErrExist)
	}
	if err == nil && of(old) != name {
		return nil, fmt.Errorf("credentials: %s: %w and holds none of this grant: name another file with --out; nothing was changed", path, fs.ErrExist)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = f.open()
	}
	if err != nil {
		return nil, fmt.Errorf("credentials: %w; nothing was changed", err)
	}
	return f, nil
}

// of is the grant that credentials belong to; "" when they are none.
func of(creds []byte) string {
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return ""
	}
	c, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return ""
	}
	return c.Name
}

func (f *credsFile) open() (err error) {
	f.temp, err = os.CreateTemp(filepath.Dir(f.path), ".creds-*") // made with mode 0600
	return err
}

func (f *credsFile) put(data []byte) error {
	if f.temp == nil {
		if err := f.open(); err != nil {
			return fmt.Errorf("credentials: %w; they are kept nowhere else: grant again with --renew", err)
		}
	}
	_, err := f.temp.Write(data)
	if err = errors.Join(err, f.temp.Sync()); err == nil {
		if f.replace {
			err = os.Rename(f.temp.Name(), f.path)
		} else {
			err = os.Link(f.temp.Name(), f.path) // not over a file that came meanwhile
		}
	}
	if err == nil {
		return nil
	}
	left := f.temp.Name()
	err = errors.Join(err, f.temp.Close())
	f.temp = nil // they are kept nowhere else
	return fmt.Errorf("credentials: %w; they are in %s", err, left)
}

// discard removes what is left of the making.
func (f *credsFile) discard() {
	if f.temp != nil {
		_ = f.temp.Close()
		_ = os.Remove(f.temp.Name()) // renamed, or linked
	}
}

// Revoke ends a grant, on disk first. When no server can be told, it fails, and
// tells it when it is called again.
func (b Book) Revoke(ctx context.Context, name string) (Record, error) {
	end, err := b.alone()
	if err != nil {
		return Record{}, err
	}
	defer end()
	r, err := b.read(name)
	if err != nil {
		return r, err
	}
	if r.RevokedAt == nil {
		g, err := natsd.Revoke(b.Dir, name)
		if err != nil {
			return r, err
		}
		now := b.Now()
		r.RevokedAt, r.Pending = &now, &Pending{g.Account, g.Token}
		if err := b.write(r); err != nil {
			return r, err
		}
	}
	return b.tell(ctx, r)
}

// tell tells a server of a revocation that none was told of, and removes what the
// grant had there.
func (b Book) tell(ctx context.Context, r Record) (Record, error) {
	if r.Pending == nil {
		return r, nil
	}
	if err := b.push(ctx, &natsd.Granted{Account: r.Pending.Account, Token: r.Pending.Token}); err != nil {
		return r, fmt.Errorf("revoked in the keys, but the server that runs was not told; revoke again when it can be reached: %w", err)
	}
	err := b.asAdmin(func(nc *nats.Conn) error {
		return errors.Join(bus.RemoveAccess(ctx, nc, r.Name), b.settle(ctx, nc))
	})
	if err != nil {
		return r, err
	}
	r.Pending, r.Told = nil, r.Pending
	return r, b.write(r)
}

// Remind tells a server of every revocation once more, those apart that have
// expired meanwhile.
func (b Book) Remind(ctx context.Context) error {
	all, err := b.List()
	if err != nil {
		return err
	}
	now := b.Now()
	all = slices.DeleteFunc(all, func(r Record) bool {
		return r.RevokedAt == nil || r.Told == nil || r.ExpiresAt != nil && r.ExpiresAt.Before(now)
	})
	if len(all) == 0 {
		return nil
	}
	sys, err := b.Connect(natsd.UserSys)
	if err != nil {
		return err
	}
	defer sys.Close()
	var faulty []error
	for _, r := range all {
		faulty = append(faulty, natsd.Push(ctx, sys, &natsd.Granted{Account: r.Told.Account, Token: r.Told.Token}))
	}
	return errors.Join(faulty...)
}

func (b Book) push(ctx context.Context, g *natsd.Granted) error {
	sys, err := b.Connect(natsd.UserSys)
	if err != nil {
		return err
	}
	defer sys.Close()
	return natsd.Push(ctx, sys, g)
}

func (b Book) asAdmin(do func(*nats.Conn) error) error {
	nc, err := b.Connect(natsd.UserAdmin)
	if err != nil {
		return err
	}
	defer nc.Close()
	return do(nc)
}
