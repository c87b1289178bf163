package share

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Share is a project that an instance may read.
type Share struct {
	Project  tenant.Project
	Instance string // slug
	Name     string // of the project, there
	By       string // principal
	Created  time.Time
}

// The refusals of this package.
var (
	ErrNotFound = errs.New(errs.NotFound, "the project is not shared with that instance")
	errTooMany  = errs.New(errs.Conflict, "a project is shared with 100 instances at most")
	errSelf     = errs.New(errs.Conflict, "that is this instance itself")
	errUnproved = errs.New(errs.Conflict, "nobody could tell that instance from others: it has to be admitted, and its heartbeats have to be signed")
)

const most = 100

// Peer is what has to be known of an instance.
type Peer struct {
	Self     bool
	Admitted bool
	Key      string // "" when it does not sign
}

type store interface {
	Of(ctx context.Context, p tenant.Project) ([]Share, error)
	Put(ctx context.Context, s Share) (Share, error)
	Delete(ctx context.Context, p tenant.Project, instance string) (found bool, err error)
}

type peers interface {
	Peer(ctx context.Context, slug string) (Peer, error)
}

// Service shares projects.
type Service struct {
	Shares store
	Peers  peers
}

// Of lists with whom a project is shared.
func (s Service) Of(ctx context.Context, p tenant.Project) ([]Share, error) {
	return s.Shares.Of(ctx, p)
}

// CheckName refuses what is no name for a project elsewhere.
func CheckName(name string) error {
	if len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errs.InvalidField("value_error", "want at most 200 bytes that can be printed", "body", "name")
	}
	return nil
}

// Share lets an instance read a project. Again, it changes the name.
func (s Service) Share(ctx context.Context, sh Share) (Share, error) {
	if sh.Name == "" {
		sh.Name = "project-" + strconv.FormatInt(int64(sh.Project), 10)
	}
	if err := CheckName(sh.Name); err != nil {
		return Share{}, err
	}
	p, err := s.Peers.Peer(ctx, sh.Instance)
	switch {
	case err != nil:
		return Share{}, err
	case p.Self:
		return Share{}, errSelf
	case !p.Admitted || p.Key == "":
		return Share{}, errUnproved
	}
	all, err := s.Shares.Of(ctx, sh.Project)
	if err != nil {
		return Share{}, err
	}
	if len(all) >= most {
		return Share{}, errTooMany
	}
	return s.Shares.Put(ctx, sh)
}

// Unshare ends a share, or is ErrNotFound.
func (s Service) Unshare(ctx context.Context, p tenant.Project, instance string) error {
	found, err := s.Shares.Delete(ctx, p, instance)
	if err == nil && !found {
		err = ErrNotFound
	}
	return err
}
