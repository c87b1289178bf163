package natsd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
)

// member is a user that was let in.
type member struct {
	Account string `json:"account"`
	Key     string `json:"key"` // public
}

// membersFile keeps whom the last [Provision] let in. Credentials that somebody
// else has made are not in it, and nobody's to revoke here.
const membersFile = "users.json"

// gone returns the keys of each account that the last call let in and now does
// not.
func (t *Trust) gone(now map[string]member) (map[string][]string, error) {
	was, err := t.members()
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for name, m := range was {
		if now[name] != m {
			out[m.Account] = append(out[m.Account], m.Key)
		}
	}
	return out, nil
}

func (t *Trust) members() (map[string]member, error) {
	was := map[string]member{}
	b, err := os.ReadFile(filepath.Join(t.dir, membersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return was, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	return was, nil
}

// revoke adds the keys to those that the account has revoked before.
func (t *Trust) revoke(c *jwt.AccountClaims, gone []string) error {
	if old, err := t.read(c.Name + ".jwt"); err == nil {
		was, err := jwt.DecodeAccountClaims(old)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(t.dir, c.Name+".jwt"), err)
		}
		if was.Subject == c.Subject { // else nobody of the old account gets in anyhow
			c.Revocations = was.Revocations
		}
	}
	for _, key := range gone {
		if _, done := c.Revocations[key]; !done {
			c.Revoke(key)
		}
	}
	return nil
}

// remember writes down who is let in, and removes the files of who is not.
func (t *Trust) remember(now map[string]member) error {
	was, err := t.members()
	if err != nil {
		return err
	}
	for name := range was {
		if _, stays := now[name]; stays {
			continue
		}
		for _, file := range []string{".nk", ".sign.nk", ".jwt", ".creds"} {
			if err := os.Remove(filepath.Join(t.dir, name+file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("user %s: %w", name, err)
			}
		}
	}
	b, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	return writeFile(filepath.Join(t.dir, membersFile), append(b, '\n'))
}
