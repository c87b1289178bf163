package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"

	"github.com/commandcenter/commandcenter/services/ingestion"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/postgres"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

func TestAProjectSeesItsOwnSchemasAndNobodyElses(t *testing.T) {
	t.Parallel()
	s := postgres.New(pgtest.New(t, ingestion.Migrations))
	x := schema.Schema{Name: schema.Name{Team: "billing", Noun: "invoice", Fact: "paid", Version: 1}, Document: []byte(`{"type":"object"}`), RegisteredBy: "user:1", CreatedAt: time.Unix(1, 0)}
	kept, made, err := s.Insert(t.Context(), 1, x)
	if err != nil || !made {
		t.Fatal(err)
	}
	if again, made, err := s.Insert(t.Context(), 1, x); err != nil || made || again.ID != kept.ID {
		t.Errorf("again: %+v %t %v", again, made, err)
	}
	if got, err := s.Get(t.Context(), 1, kept.ID); err != nil || got.Name != x.Name || !got.Same(x.Document) || !got.CreatedAt.Equal(x.CreatedAt) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := s.Find(t.Context(), 1, x.Name); err != nil || got.ID != kept.ID {
		t.Errorf("found %+v, %v", got, err)
	}
	for _, err := range []error{second(s.Get(t.Context(), 2, kept.ID)), second(s.Find(t.Context(), 2, x.Name)), s.Delete(t.Context(), 2, kept.ID)} {
		if !errors.Is(err, schema.ErrNotFound) {
			t.Errorf("another project: %v", err)
		}
	}
	if all, err := s.List(t.Context(), 1, "sales"); err != nil || len(all) != 0 {
		t.Errorf("another team: %v %v", all, err)
	}
	if all, err := s.List(t.Context(), 1, ""); err != nil || len(all) != 1 {
		t.Errorf("all: %v %v", all, err)
	}
	if err := s.Delete(t.Context(), 1, kept.ID); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), 1, kept.ID); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
