package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Lock names.
const (
	LockInstance = "LOCK"
	LockNATS     = "LOCK.nats"
	LockPostgres = "LOCK.postgres"
)

// LockMember is the lock of a NATS server that is a member of a cluster: several
// may share a data directory.
func LockMember(name string) string { return LockNATS + "." + name }

// InUseError says that another process holds a lock.
type InUseError struct {
	Dir  string
	Lock string
	PID  int // 0 when unknown
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it, or choose another --data-dir", e.Dir, who)
}

// Lock is a held lock.
type Lock struct{ files []*os.File }

// Lock takes the named locks, all or none, without waiting. An error of
// [InUseError] says who has one.
func (d *Dir) Lock(names ...string) (*Lock, error) {
	l := &Lock{}
	for _, name := range names {
		f, err := d.lock(name)
		if err != nil {
			return nil, errors.Join(err, l.Release())
		}
		l.files = append(l.files, f)
	}
	return l, nil
}

func (d *Dir) lock(name string) (*os.File, error) {
	path := filepath.Join(d.path, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close() // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, &InUseError{Dir: d.path, Lock: name, PID: holder(path)}
	}
	if err := errors.Join(f.Truncate(0), write(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// Holder returns the pid of the process that holds the instance lock, 0 when
// nobody does.
func (d *Dir) Holder() int { return d.HolderOf(LockInstance) }

// HolderOf is [Dir.Holder] of another lock.
func (d *Dir) HolderOf(lock string) int {
	path := filepath.Join(d.path, lock)
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close() // only read
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0 // closing frees it again
	}
	return holder(path)
}

func holder(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}

func write(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Release frees the locks. The files stay: removing one would let two
// processes lock two different files of the same name.
func (l *Lock) Release() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	l.files = nil
	return errors.Join(errs...)
}

// alone waits until nobody else makes something in dir. The kernel ends it when
// the process dies.
func alone(dir string) (end func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // it was only read
}
