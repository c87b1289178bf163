package serve

import (
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// rights knows whose event streams are open, so that one whose rights may have
// ended is looked at again at once, and not at its next heartbeat.
type rights struct {
	mu   sync.Mutex
	open map[*right]struct{}
}

// right is that of one open stream.
type right struct {
	who  tenant.Identity
	bell chan struct{}
}

// hold registers a stream whose caller's token or key is good for so long, 0 for
// ever: it is looked at again then. drop ends that.
func (x *rights) hold(who tenant.Identity, good time.Duration) (r *right, drop func()) {
	r = &right{who, make(chan struct{}, 1)}
	expiry := time.AfterFunc(max(good, time.Nanosecond), r.ring)
	if good == 0 {
		expiry.Stop()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open == nil {
		x.open = map[*right]struct{}{}
	}
	x.open[r] = struct{}{}
	return r, func() {
		expiry.Stop()
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.open, r)
	}
}

func (r *right) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

func (x *rights) doubt(which func(tenant.Identity) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for r := range x.open {
		if which(r.who) {
			r.ring()
		}
	}
}

// ForgetUser has the open streams of a user prove again that they may go on.
func (s *Edge) ForgetUser(id int64) {
	s.rights.doubt(func(w tenant.Identity) bool { return w.UserID == id })
}

// ForgetSession does so for those of a session.
func (s *Edge) ForgetSession(id string) {
	s.rights.doubt(func(w tenant.Identity) bool { return w.Session == id })
}

// ForgetProject does so for those in a project.
func (s *Edge) ForgetProject(p tenant.Project) {
	s.classes.forget(p)
	s.rights.doubt(func(w tenant.Identity) bool { return w.Project == p })
}

// ForgetAccount does so for those of a service account.
func (s *Edge) ForgetAccount(id int64) {
	s.rights.doubt(func(w tenant.Identity) bool { return w.ServiceAccount == id })
}

// ForgetKey does so for those that an API key opened.
func (s *Edge) ForgetKey(id string) {
	s.rights.doubt(func(w tenant.Identity) bool { return w.Key == id })
}

// ForgetKeyring does so for all: a stream that a token opened has to show that the
// token is good still.
func (s *Edge) ForgetKeyring() {
	s.rights.doubt(func(tenant.Identity) bool { return true })
}
