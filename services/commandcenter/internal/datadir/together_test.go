package datadir

import (
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
)

// TestProcessesThatStartTogetherHaveOneSecret: each part of a split instance
// opens the data directory itself. One that kept a secret of its own would
// never have the passwords of the others.
func TestProcessesThatStartTogetherHaveOneSecret(t *testing.T) {
	t.Parallel()
	for range 20 {
		path := filepath.Join(t.TempDir(), "data")
		type kept struct{ secret, password string }
		all := make([]kept, 8)
		var ready, done sync.WaitGroup
		ready.Add(len(all))
		for i := range all {
			done.Go(func() {
				d, err := Open(path)
				ready.Done()
				if err != nil {
					t.Error(err)
					return
				}
				ready.Wait()
				secret, err := d.Secret()
				if err != nil {
					t.Error(err)
				}
				password, _, err := d.OwnerPassword(rand.Text)
				if err != nil {
					t.Error(err)
				}
				all[i] = kept{string(secret), password}
			})
		}
		done.Wait()
		for _, k := range all {
			if k != all[0] {
				t.Fatal("two processes have two secrets")
			}
		}
	}
}
