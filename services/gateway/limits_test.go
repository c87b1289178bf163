package gateway_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/commandcenter/commandcenter/services/gateway"
)

func TestGatewaysCountTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// An hour, so that what flows in meanwhile is nothing beside the limit.
	const limit = 2000
	limited := func(c *gateway.Config) { c.Reads = "2000/hour" }
	both := []*world{w.at(w.gateway(w.Connect(w.Config("gateway")), limited)), w.at(w.gateway(w.Connect(w.Config("gateway")), limited))}
	header := map[string]string{"Authorization": "Bearer " + w.token("1", "s1")}
	var passed, refused atomic.Int64
	var callers sync.WaitGroup
	for _, g := range both {
		for range 2 {
			callers.Go(func() {
				for refused.Load() < 200 { // far beyond the limit
					switch got := g.call("GET", "/api/v1/projects/", "", header); got.status {
					case 200:
						passed.Add(1)
					case 429:
						if got.header.Get("Retry-After") == "" || got.header.Get("RateLimit-Remaining") != "0" {
							t.Errorf("refused without a way back: %v", got.header)
						}
						refused.Add(1)
					default:
						t.Errorf("%d %s", got.status, got.body)
						return
					}
				}
			})
		}
	}
	callers.Wait()
	if n := passed.Load(); n < limit*9/10 || n > limit*11/10 {
		t.Errorf("%d calls were let through by two gateways, the limit is %d", n, limit)
	}
	// What is decided by one for all is exact: ten logins a minute, and at most
	// one that flows in meanwhile.
	logins := 0
	for i := range 30 {
		if got := both[i%2].call("POST", "/api/v1/auth/login", `{"email":"a@b.io","password":"correct horse"}`, nil); got.status == 200 {
			logins++
		}
	}
	if logins < 10 || logins > 11 {
		t.Errorf("%d logins, the limit is 10", logins)
	}
}
