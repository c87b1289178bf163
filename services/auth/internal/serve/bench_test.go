package serve_test

import (
	"fmt"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
)

// real is the cost of passwords in production.
func real(c *auth.Config) { c.Password = auth.DefaultConfig().Password }

func BenchmarkLogin(b *testing.B) {
	w := newWorld(b, real)
	w.register("jo@example.org").ok(201)
	for b.Loop() {
		w.login("jo@example.org", password).ok(200)
	}
}

func BenchmarkRefusedLoginOfUnknownAddress(b *testing.B) {
	w := newWorld(b, real, func(c *auth.Config) { c.Throttle.Failures = 1 << 30 })
	for b.Loop() {
		w.login("nobody@example.org", password)
	}
}

func BenchmarkRefusedLoginOfKnownAddress(b *testing.B) {
	w := newWorld(b, real, func(c *auth.Config) { c.Throttle.Failures = 1 << 30 })
	w.register("jo@example.org").ok(201)
	for b.Loop() {
		w.login("jo@example.org", "another password")
	}
}

func BenchmarkRegister(b *testing.B) {
	w := newWorld(b, real)
	n := 0
	for b.Loop() {
		n++
		w.register(fmt.Sprintf("jo%d@example.org", n)).ok(201)
	}
}

func BenchmarkRefresh(b *testing.B) {
	w := newWorld(b)
	w.register("jo@example.org").ok(201)
	token := w.login("jo@example.org", password).ok(200).str("refresh_token")
	for b.Loop() {
		token = w.refresh(token).ok(200).str("refresh_token")
	}
}

func BenchmarkCreateProjectCommand(b *testing.B) {
	w := newWorld(b)
	me := w.member("jo@example.org")
	n := 0
	for b.Loop() {
		n++
		w.createProject(me, fmt.Sprintf("Project %d", n)).ok(201)
	}
}

func BenchmarkResolveAccess(b *testing.B) {
	w := newWorld(b)
	me := w.member("jo@example.org")
	for b.Loop() {
		_, err := bus.CallInternal[*authv1.ResolveAccessResponse](b.Context(), w.edge, "auth", "resolveAccess",
			&authv1.ResolveAccessRequest{UserId: int32(me.UserID)})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetProject(b *testing.B) {
	w := newWorld(b)
	me := w.member("jo@example.org")
	for b.Loop() {
		w.request("getProject", me, in(me)).ok(200)
	}
}
