package natsd

import (
	"fmt"
	"os"

	"github.com/nats-io/jwt/v2"
)

// Issued reports whether a credentials file is of an account of this instance
// itself. A file of another kind is not.
func (t *Trust) Issued(path string) (bool, error) {
	show, err := ReadCredentials(path)
	if err != nil || show.File == "" {
		return false, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("credentials: %w", err)
	}
	token, err := jwt.ParseDecoratedJWT(data)
	if err != nil {
		return false, fmt.Errorf("credentials: %s: %w", path, err)
	}
	user, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return false, fmt.Errorf("credentials: %s: %w", path, err)
	}
	of := user.IssuerAccount // when a signing key of the account has issued it
	if of == "" {
		of = user.Issuer
	}
	for _, name := range []string{AccountSys, AccountCC, AccountHub} {
		if t.ids[name] == of {
			return true, nil
		}
	}
	return false, nil
}
