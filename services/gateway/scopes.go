package gateway

import (
	"sync"

	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// KeyMay reports whether an API key of these scopes is enough for the operation,
// and whether its holder is a superuser with it, if one at all. It is what the
// gateway decides when a call comes in, for who decides again later. An operation
// that the contract does not have is nobody's.
func KeyMay(scopes []string, operation string) (call, superuser bool, err error) {
	c, err := loaded()
	if err != nil {
		return false, false, err
	}
	for _, op := range c.Operations {
		if op.ID == operation {
			s := access.ParseScopes(scopes)
			return !op.SessionOnly && s.Allow(op.Tag, access.ParseLevel(op.Level())), s.Allow(op.Tag, access.Admin), nil
		}
	}
	return false, false, nil
}

var loaded = sync.OnceValues(func() (*contract.Contract, error) { return contract.Load(openapi) })
