package grants

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// Project is a project that a grant may be for.
type Project struct {
	ID   int64
	Name string
}

// Projects asks auth which projects there are: all, or p alone. One that is being
// deleted is not there any more.
func Projects(ctx context.Context, b *bus.Bus, p tenant.Project) ([]Project, error) {
	var out []Project
	err := b.Replay(ctx, "auth", bus.ReplayQuery{Project: p}, func(s bus.Said) error {
		a, err := events.ParseAttributes(s.Header)
		if err != nil {
			return err
		}
		created, deleting := &authv1.ProjectCreated{}, &authv1.ProjectDeleting{}
		switch a.Type {
		case string(created.ProtoReflect().Descriptor().FullName()):
			if err := events.Unmarshal(s.Data, a.ContentType, created); err != nil {
				return err
			}
			out = append(out, Project{int64(created.GetProjectId()), created.GetName()})
		case string(deleting.ProtoReflect().Descriptor().FullName()): // right behind its creation
			if n := len(out); n > 0 {
				out = out[:n-1]
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("which projects there are: %w", err)
	}
	return out, nil
}

// mostNamed is how many projects an error lists.
const mostNamed = 20

// ErrNoProject says that a grant is for a project that is not there.
var ErrNoProject = errors.New("no such project")

// Check refuses a project that is not there, and says which are.
func Check(ctx context.Context, b *bus.Bus, p tenant.Project) error {
	found, err := Projects(ctx, b, p)
	if err != nil || len(found) > 0 {
		return err
	}
	all, err := Projects(ctx, b, tenant.Instance)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("%w as %d: there are none", ErrNoProject, p)
	}
	var names []string
	for _, x := range all[:min(len(all), mostNamed)] {
		names = append(names, fmt.Sprintf("%d (%s)", x.ID, x.Name))
	}
	if n := len(all) - mostNamed; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return fmt.Errorf("%w as %d: there are %s", ErrNoProject, p, strings.Join(names, ", "))
}

// away reports whether auth could not be asked.
func away(err error) bool {
	return errs.KindOf(err) == errs.Unavailable || errs.KindOf(err) == errs.Timeout
}
