package datadir

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSecondInstanceLearnsThePidOfTheFirst(t *testing.T) {
	t.Parallel()
	d := open(t)
	l, err := d.Lock(LockInstance, LockNATS)
	if err != nil {
		t.Fatal(err)
	}
	if d.Holder() != os.Getpid() {
		t.Fatalf("holder = %d, want %d", d.Holder(), os.Getpid())
	}
	_, err = d.Lock(LockPostgres, LockInstance)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Fatalf("err = %v, want InUseError of this process", err)
	}
	if p, err := d.Lock(LockPostgres); err != nil {
		t.Fatalf("the lock before the refused one is still held: %v", err)
	} else if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if d.Holder() != 0 {
		t.Fatal("a released lock still has a holder")
	}
	if _, err := d.Lock(LockInstance); err != nil {
		t.Fatalf("lock again: %v", err)
	}
}

func TestDirectoryOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	if err := d.Stamp(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(d.Path()); err != nil {
		t.Fatalf("own version refused: %v", err)
	}
	if err := os.WriteFile(filepath.Join(d.Path(), "VERSION"), []byte("999.1.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(d.Path())
	var newer *NewerError
	if !errors.As(err, &newer) || !strings.Contains(err.Error(), "999.1.0") || !strings.Contains(err.Error(), version.Product) {
		t.Fatalf("err = %v, want both versions named", err)
	}
}

func TestDirectoryOfNoVersionIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	file := filepath.Join(d.Path(), "VERSION")
	for _, text := range []string{"", "garbage\n", "\x00\xff", strings.Repeat("long ", 1000)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(d.Path())
		var damaged *DamagedError
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), file) || len(err.Error()) > 300 {
			t.Errorf("%.20q: err = %v, want a short one that names the file", text, err)
		}
	}
}

func TestSecretsAreMadeOnceAndPrivate(t *testing.T) {
	t.Parallel()
	d := open(t)
	if !d.Fresh() {
		t.Fatal("a new directory is not fresh")
	}
	a, err := d.Secret()
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Secret()
	if err != nil || string(a) != string(b) {
		t.Fatalf("second secret differs, err %v", err)
	}
	p, made, err := d.OwnerPassword(rand.Text)
	if err != nil || !made || len(p) < 26 {
		t.Fatalf("password %q made %v err %v", p, made, err)
	}
	if q, made, err := d.OwnerPassword(rand.Text); err != nil || made || p != q {
		t.Fatalf("second password differs or was made, err %v", err)
	}
	for _, f := range []string{d.OwnerPasswordFile(), filepath.Join(d.Keys(), "secret")} {
		st, err := os.Stat(f)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Fatalf("%s: mode %v err %v, want 0600", f, st.Mode(), err)
		}
	}
	if st, err := os.Stat(d.Keys()); err != nil || st.Mode().Perm() != 0o700 {
		t.Fatalf("keys: %v %v, want 0700", st.Mode(), err)
	}
}

func TestDamagedSecretIsNotReplaced(t *testing.T) {
	t.Parallel()
	d := open(t)
	path := filepath.Join(d.Keys(), "secret")
	for _, text := range []string{"", "zz", "abcd"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Secret(); err == nil {
			t.Fatalf("secret %q was accepted", text)
		}
	}
}

func TestEndpointsAndTheSampleMarkSurviveReopening(t *testing.T) {
	t.Parallel()
	d := open(t)
	if d.Endpoint(EndpointNATS) != "" || d.SamplePending() {
		t.Fatal("a new directory knows something")
	}
	if err := errors.Join(d.Publish(EndpointNATS, "nats://127.0.0.1:1"), d.SetSamplePending(true)); err != nil {
		t.Fatal(err)
	}
	d, err := Open(d.Path())
	if err != nil || d.Endpoint(EndpointNATS) != "nats://127.0.0.1:1" || !d.SamplePending() {
		t.Fatalf("endpoint %q, pending %v, err %v", d.Endpoint(EndpointNATS), d.SamplePending(), err)
	}
	if err := errors.Join(d.SetSamplePending(false), d.SetSamplePending(false)); err != nil || d.SamplePending() {
		t.Fatalf("pending %v, err %v", d.SamplePending(), err)
	}
}

func TestSealingKeysAreMadeOnceAndReplacedWhole(t *testing.T) {
	t.Parallel()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := KeyFile(d.SealingKeysFile())
	if err := f.Make(func() ([]byte, error) { return nil, errors.New("no chance") }); err == nil {
		t.Error("a failure was kept")
	}
	for _, text := range []string{"first", "second"} {
		if err := f.Make(func() ([]byte, error) { return []byte(text), nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Replace(func([]byte) ([]byte, error) { return nil, errors.New("no") }); err == nil {
		t.Error("no error")
	}
	if text, err := f.Keys(); err != nil || string(text) != "first" {
		t.Errorf("%q, %v", text, err)
	}
	if err := f.Replace(func(text []byte) ([]byte, error) { return append(text, " and next"...), nil }); err != nil {
		t.Fatal(err)
	}
	if text, err := f.Keys(); err != nil || string(text) != "first and next" {
		t.Errorf("%q, %v", text, err)
	}
	if st, err := os.Stat(string(f)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := KeyFile(filepath.Join(t.TempDir(), "none")).Replace(func(text []byte) ([]byte, error) { return text, nil }); err == nil {
		t.Error("a file that is not there was replaced")
	}
}
