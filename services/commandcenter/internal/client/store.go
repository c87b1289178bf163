package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Credentials is what is kept of one server.
type Credentials struct {
	Email        string    `json:"email,omitempty"`
	AccessToken  string    `json:"access_token,omitempty"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	Expires      time.Time `json:"expires,omitzero"`
	Project      int64     `json:"project,omitempty"` // chosen with `project use`
	// LoggedOut says that the user ended the session: nobody is logged in again
	// until asked to.
	LoggedOut bool `json:"logged_out,omitempty"`
}

// Store keeps credentials by server address in one file, 0600.
type Store struct{ path string }

// NewStore returns the store in the file at path, which need not exist.
func NewStore(path string) *Store { return &Store{path} }

// Path is the file.
func (s *Store) Path() string { return s.path }

// Get returns what is kept of a server; zero when nothing is.
func (s *Store) Get(server string) (Credentials, error) {
	all, err := s.read()
	return all[server], err
}

// Update changes what is kept of a server, under a lock that other processes
// respect: fn sees the latest state, and may take its time. Until ctx ends it
// waits for others who do the same.
func (s *Store) Update(ctx context.Context, server string, fn func(*Credentials) error) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // nothing was written
	if err := alone(ctx, lock); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	all, err := s.read()
	if err != nil {
		return err
	}
	c := all[server]
	if err := fn(&c); err != nil {
		return err
	}
	if c == (Credentials{}) {
		delete(all, server)
	} else {
		all[server] = c
	}
	return s.write(all)
}

// alone takes the lock. It asks again and again, since a call that waits in the
// kernel hears of no context: the holder may wait for a server that hangs.
func alone(ctx context.Context, lock *os.File) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (s *Store) read() (map[string]Credentials, error) {
	all := map[string]Credentials{}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it and log in again", s.path, err)
	}
	return all, nil
}

func (s *Store) write(all map[string]Credentials) error {
	data, err := json.MarshalIndent(all, "", "  ") //nolint:gosec // G117: this file, of mode 0600, is where they are kept
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".credentials-*") // 0600 by CreateTemp
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(data, '\n'))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return os.Rename(tmp.Name(), s.path)
}
