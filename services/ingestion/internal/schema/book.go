package schema

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Keeper keeps the schemas of projects.
type Keeper interface {
	// Insert gives x an id and keeps it, unless there is one of its name, which
	// it returns then, with made false.
	Insert(ctx context.Context, p tenant.Project, x Schema) (kept Schema, made bool, err error)
	// List returns those of a team, or all when team is empty, by name.
	List(ctx context.Context, p tenant.Project, team string) ([]Schema, error)
	// Get and Find return a schema, or [ErrNotFound].
	Get(ctx context.Context, p tenant.Project, id int64) (Schema, error)
	Find(ctx context.Context, p tenant.Project, n Name) (Schema, error)
	// Delete removes one, or returns [ErrNotFound].
	Delete(ctx context.Context, p tenant.Project, id int64) error
}

// Book holds the schemas of every project.
type Book struct {
	Keeper
	Now func() time.Time

	mu    sync.Mutex
	forms map[int64]Form // by id, which is never given twice
}

// mostForms bounds what is kept compiled.
const mostForms = 1000

// Register keeps the form of a fact. made is false when it was registered
// before.
func (b *Book) Register(ctx context.Context, p tenant.Project, n Name, document json.RawMessage, by string) (s Schema, made bool, err error) {
	s = Schema{Name: n, Document: document, RegisteredBy: by, CreatedAt: b.Now()}
	if err := s.Check(); err != nil {
		return Schema{}, false, err
	}
	kept, made, err := b.Insert(ctx, p, s)
	switch {
	case err != nil:
		return Schema{}, false, err
	case !made && !kept.Same(document):
		return Schema{}, false, ErrOther
	}
	return kept, made, nil
}

// Read returns the object in data when it fits the form that is registered for
// the name; [ErrNotFound] when none is. What is registered is looked up every
// time: one that was deleted counts no more.
func (b *Book) Read(ctx context.Context, p tenant.Project, n Name, data []byte) (map[string]any, error) {
	s, err := b.Find(ctx, p, n)
	if err != nil {
		return nil, err
	}
	f, err := b.form(s)
	if err != nil {
		return nil, err
	}
	return f.Read(data)
}

func (b *Book) form(s Schema) (Form, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f, ok := b.forms[s.ID]; ok {
		return f, nil
	}
	f, err := s.Compile()
	if err != nil {
		return Form{}, err
	}
	if len(b.forms) >= mostForms || b.forms == nil {
		b.forms = map[int64]Form{}
	}
	b.forms[s.ID] = f
	return f, nil
}
