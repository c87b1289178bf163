package gateway_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/gateway"
)

func TestWhatAKeyMayIsKnownToWhoDecidesLater(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scope, op       string
		call, superuser bool
	}{
		{"knowledge:write", "deleteDocument", true, false}, {"knowledge:admin", "deleteDocument", true, true}, {"*:admin", "deleteDocument", true, true},
		{"knowledge:read", "deleteDocument", false, false}, {"projects:admin", "deleteDocument", false, false}, {"nonsense", "deleteDocument", false, false},
		{"*:admin", "createServiceAccountKey", false, true}, // takes the session of a person
		{"*:admin", "noSuchOperation", false, false},
	} {
		call, superuser, err := gateway.KeyMay([]string{c.scope}, c.op)
		if err != nil || call != c.call || superuser != c.superuser {
			t.Errorf("%s for %s: %v, %v, %v", c.scope, c.op, call, superuser, err)
		}
	}
}
