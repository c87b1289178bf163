package datadir

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

// Dir is a data directory that was opened.
type Dir struct{ path string }

// Default returns where the data is when nobody says otherwise: for root
// /var/lib/commandcenter, else $XDG_DATA_HOME/commandcenter.
func Default() string {
	if os.Geteuid() == 0 {
		return "/var/lib/commandcenter"
	}
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "commandcenter")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "commandcenter")
	}
	return filepath.Join(home, ".local", "share", "commandcenter")
}

// Open makes the directory if it is missing and checks that this version may
// write there. An error of [NewerError] says that it may not, one of
// [DamagedError] that nobody can tell.
func Open(path string) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	d := &Dir{abs}
	// 0711: PostgreSQL runs as another user when we are root, and must reach
	// its own directory through this one.
	if err := os.MkdirAll(abs, 0o711); err != nil { //nolint:gosec // G301: as said
		return nil, fmt.Errorf("data directory: %w", err)
	}
	for _, sub := range []string{d.Keys(), d.Logs()} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	return d, d.checkVersion()
}

// At returns the directory at path without touching it, for clients.
func At(path string) *Dir { return &Dir{path} }

// Path is the directory, absolute.
func (d *Dir) Path() string { return d.path }

// Keys is where keys and credentials are.
func (d *Dir) Keys() string { return filepath.Join(d.path, "keys") }

// Logs is where log files are.
func (d *Dir) Logs() string { return filepath.Join(d.path, "logs") }

// NATS is where JetStream keeps its files.
func (d *Dir) NATS() string { return filepath.Join(d.path, "nats") }

// Postgres is where the private cluster is.
func (d *Dir) Postgres() string { return filepath.Join(d.path, "postgres") }

// Index is where images of indexes are, of which none is missed.
func (d *Dir) Index() string { return filepath.Join(d.path, "index") }

// Fresh reports whether no instance has been set up here yet.
func (d *Dir) Fresh() bool {
	_, err := os.Stat(filepath.Join(d.path, "owner-password"))
	return errors.Is(err, fs.ErrNotExist)
}

// NewerError says that a later version wrote here.
type NewerError struct{ Dir, Found, This string }

func (e *NewerError) Error() string {
	return fmt.Sprintf("data directory %s was written by version %s, this is %s: run a version that is at least as new, or choose another --data-dir", e.Dir, e.Found, e.This)
}

// DamagedError says that the file with the version is not one that a version
// of this program wrote.
type DamagedError struct{ File, Found string }

func (e *DamagedError) Error() string {
	found := e.Found
	if len(found) > 40 {
		found = found[:40] + "…"
	}
	return fmt.Sprintf("%s holds %q, which is no version: restore it from a back-up, or choose another --data-dir", e.File, found)
}

func (d *Dir) checkVersion() error {
	data, err := os.ReadFile(d.versionFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	switch found := strings.TrimSpace(string(data)); {
	case found == version.Product:
	case !version.Valid(found):
		return &DamagedError{d.versionFile(), found}
	case version.Newer(found, version.Product):
		return &NewerError{d.path, found, version.Product}
	}
	return nil
}

// Stamp writes this version down. Call it with the lock held, before anything
// else is written.
func (d *Dir) Stamp() error {
	if data, err := os.ReadFile(d.versionFile()); err == nil && strings.TrimSpace(string(data)) == version.Product {
		return nil
	}
	return writeFile(d.versionFile(), []byte(version.Product+"\n"), 0o644)
}

func (d *Dir) versionFile() string { return filepath.Join(d.path, "VERSION") }

// Secret returns the instance secret, made at the first call.
func (d *Dir) Secret() ([]byte, error) {
	path := filepath.Join(d.Keys(), "secret")
	text, _, err := keepOrMake(path, func() string { return hex.EncodeToString(random(32)) })
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) < 32 {
		return nil, fmt.Errorf("%s is damaged: want 64 hexadecimal digits; restore it from a back-up", path)
	}
	return secret, nil
}

// SealingKeysFile is where the sealing keys of secrets are, when no setting says
// otherwise.
func (d *Dir) SealingKeysFile() string { return filepath.Join(d.Keys(), "sealing.json") }

// KeyFile is a file of sealing keys, readable by its owner alone.
type KeyFile string

// Keys reads the file.
func (f KeyFile) Keys() ([]byte, error) {
	text, err := keep(string(f))
	return []byte(text), err
}

// Make writes what gen gives when there is no file. Processes that start
// together agree on what one of them made.
func (f KeyFile) Make(gen func() ([]byte, error)) error {
	if _, err := f.Keys(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := gen()
	if err != nil {
		return err
	}
	_, _, err = keepOrMake(string(f), func() string { return string(text) })
	return err
}

// Replace changes the file in one durable step, alone among the processes of
// this machine.
func (f KeyFile) Replace(next func(text []byte) ([]byte, error)) error {
	unlock, err := alone(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	defer unlock()
	text, err := f.Keys()
	if err != nil {
		return err
	}
	if text, err = next(text); err != nil {
		return err
	}
	return writeFile(string(f), append(text, '\n'), 0o600)
}

// ReadOwnerPassword returns the password of the first account.
func (d *Dir) ReadOwnerPassword() (string, error) {
	data, err := os.ReadFile(d.OwnerPasswordFile())
	return strings.TrimSpace(string(data)), err
}

// OwnerPassword is ReadOwnerPassword, and keeps what gen gives if there is none.
func (d *Dir) OwnerPassword(gen func() string) (password string, made bool, err error) {
	return keepOrMake(d.OwnerPasswordFile(), gen)
}

// OwnerPasswordFile is where the password of the first account is.
func (d *Dir) OwnerPasswordFile() string { return filepath.Join(d.path, "owner-password") }

// keepOrMake reads a one-line file, or makes it readable by its owner alone.
// Processes that start together agree on what one of them made.
func keepOrMake(path string, gen func() string) (text string, made bool, err error) {
	text, err = keep(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, false, err
	}
	unlock, err := alone(filepath.Dir(path))
	if err != nil {
		return "", false, err
	}
	defer unlock()
	// Whoever was alone before may have made it.
	text, err = keep(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, false, err
	}
	text = gen()
	if err := writeFile(path, []byte(text+"\n"), 0o600); err != nil {
		return "", false, err
	}
	return text, true, nil
}

func keep(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(data))
	if s == "" {
		return "", fmt.Errorf("%s is empty; restore it from a back-up", path)
	}
	return s, nil
}

// writeFile replaces path in one durable step: a crash leaves the old file or
// the new one.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24
	return b
}

// OwnerEmail is the address of the first account of an instance.
const OwnerEmail = "owner@commandcenter.local"

// Endpoints: how other processes of this machine reach what runs from here.
const (
	EndpointNATS     = "nats.url"
	EndpointPostgres = "postgres.dsn"
	EndpointHTTP     = "http.url"
	EndpointCert     = "http.cert" // the certificate that is shown there, "" without TLS
)

// Publish writes an endpoint down for other processes, readable by the owner
// alone: that of the database has a password in it.
func (d *Dir) Publish(endpoint, address string) error {
	return writeFile(filepath.Join(d.Keys(), endpoint), []byte(address+"\n"), 0o600)
}

// Endpoint reads what Publish wrote, "" when nothing was written. It may be of
// a process that is gone.
func (d *Dir) Endpoint(endpoint string) string {
	data, err := os.ReadFile(filepath.Join(d.Keys(), endpoint))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// SamplePending reports whether the sample documents have still to be added.
func (d *Dir) SamplePending() bool {
	_, err := os.Stat(d.sampleFile())
	return err == nil
}

// SetSamplePending remembers it across restarts.
func (d *Dir) SetSamplePending(pending bool) error {
	if pending {
		return writeFile(d.sampleFile(), []byte("to be added\n"), 0o600)
	}
	if err := os.Remove(d.sampleFile()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *Dir) sampleFile() string { return filepath.Join(d.path, "sample-pending") }

// Check is the part of Open that changes nothing: whether this version may
// write here.
func (d *Dir) Check() error { return d.checkVersion() }
