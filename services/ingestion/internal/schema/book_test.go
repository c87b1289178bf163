package schema_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

// shelf keeps schemas in memory.
type shelf struct {
	schema.Keeper
	kept map[schema.Name]schema.Schema
	last int64
}

func (s *shelf) Insert(_ context.Context, _ tenant.Project, x schema.Schema) (schema.Schema, bool, error) {
	if old, ok := s.kept[x.Name]; ok {
		return old, false, nil
	}
	s.last++
	x.ID = s.last
	s.kept[x.Name] = x
	return x, true, nil
}

func (s *shelf) Find(_ context.Context, _ tenant.Project, n schema.Name) (schema.Schema, error) {
	if x, ok := s.kept[n]; ok {
		return x, nil
	}
	return schema.Schema{}, schema.ErrNotFound
}

func TestAVersionOfAFactHasOneFormForEver(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	b := &schema.Book{Keeper: &shelf{kept: map[schema.Name]schema.Schema{}}, Now: func() time.Time { return at }}
	register := func(document string) (schema.Schema, bool, error) {
		return b.Register(t.Context(), 1, paid, []byte(document), "user:7")
	}
	first, made, err := register(`{"type":"object","required":["total"]}`)
	if err != nil || !made || first.RegisteredBy != "user:7" || !first.CreatedAt.Equal(at) {
		t.Fatalf("%+v %v %v", first, made, err)
	}
	again, made, err := register(` {"required":["total"], "type":"object"}`)
	if err != nil || made || again.ID != first.ID {
		t.Errorf("the same once more: %+v %v %v", again, made, err)
	}
	if _, _, err := register(`{"type":"object"}`); !errors.Is(err, schema.ErrOther) {
		t.Errorf("another form of the version: %v", err)
	}
	if _, _, err := register(`{"type":"nothing"}`); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no schema: %v", err)
	}
}

func TestAFactIsReadByTheFormThatIsRegisteredNow(t *testing.T) {
	t.Parallel()
	kept := &shelf{kept: map[schema.Name]schema.Schema{}}
	b := &schema.Book{Keeper: kept, Now: time.Now}
	if _, err := b.Read(t.Context(), 1, paid, []byte(`{}`)); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("before it is registered: %v", err)
	}
	if _, _, err := b.Register(t.Context(), 1, paid, []byte(`{"type":"object","required":["total"]}`), "user:7"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also when it is compiled already
		if object, err := b.Read(t.Context(), 1, paid, []byte(`{"total":3}`)); err != nil || object["total"] == nil {
			t.Errorf("%v %v", object, err)
		}
	}
	if _, err := b.Read(t.Context(), 1, paid, []byte(`{}`)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("what does not fit: %v", err)
	}
	// It was deleted, and registered with another form.
	delete(kept.kept, paid)
	if _, err := b.Read(t.Context(), 1, paid, []byte(`{"total":3}`)); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("after it was deleted: %v", err)
	}
	if _, _, err := b.Register(t.Context(), 1, paid, []byte(`{"type":"object","required":["amount"]}`), "user:7"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(t.Context(), 1, paid, []byte(`{"total":3}`)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("read by the form of before: %v", err)
	}
}
