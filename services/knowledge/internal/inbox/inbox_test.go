package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/inbox"
)

func TestDeletedProjectIsPurgedAndThenForgotten(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth", "knowledge")
	heard := make(chan string, 10)
	fail := make(chan error, 1)
	fail <- errors.New("not now")
	dropped := purge.Part{Name: "images", Removed: 1}
	in := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{Service: "knowledge", DB: pgtest.New(t, knowledge.Migrations)})
	(&inbox.Handlers{
		Purge: func(_ context.Context, p tenant.Project, o purge.Order) error {
			select {
			case err := <-fail:
				heard <- "failed"
				return err
			default:
			}
			heard <- fmt.Sprintf("purge %d v%d by %s of %s", p, o.Version, o.Message, o.Consumer)
			parts, err := o.Outside(t.Context())
			if len(parts) != 1 || parts[0] != dropped {
				t.Errorf("parts %+v", parts)
			}
			return err
		},
		Drop: func(p tenant.Project) (purge.Part, error) {
			heard <- fmt.Sprintf("drop %d", p)
			return dropped, nil
		},
	}).Register(in)
	env.Run(in)
	id := env.Say(&authv1.ProjectDeleting{ProjectId: 3, Version: 9})
	for _, want := range []string{"failed", "purge 3 v9 by " + id + " of evt-knowledge-auth-project-deleting-v1", "drop 3", "drop 3"} {
		if got := bustest.Await(env, heard); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func TestADocumentThatATeamPublishesIsTakenIn(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "ingestion", "knowledge")
	heard := make(chan document.Submission, 10)
	in := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{Service: "knowledge", DB: pgtest.New(t, knowledge.Migrations)})
	(&inbox.Handlers{
		Accept: func(_ context.Context, s document.Submission) (document.Document, error) {
			heard <- s
			if s.Title == "bad" {
				return document.Document{}, errs.New(errs.Unsupported, "nobody reads this")
			}
			return document.Document{}, nil
		},
	}).Register(in)
	env.Run(in)
	say := func(fact string, data map[string]any) {
		t.Helper()
		d, err := structpb.NewStruct(data)
		if err != nil {
			t.Fatal(err)
		}
		env.Say(&ingestionv1.FactAccepted{ProjectId: 3, FactId: "docs/1", Version: 1, Team: "docs", Noun: "document", Fact: fact, FactVersion: 1, Data: d})
	}
	say("removed", map[string]any{"title": "other", "content": "x"})
	say("published", map[string]any{"title": "empty"})
	say("published", map[string]any{"title": "bad", "content": "x"})
	say("published", map[string]any{"title": "Guide", "content": "# Guide", "url": "https://docs.example/guide", "pages": 3})
	if s := bustest.Await(env, heard); s.Title != "bad" {
		t.Errorf("first %+v", s)
	}
	s := bustest.Await(env, heard)
	if s.Project != 3 || s.Source != "docs.example/guide" || s.Title != "Guide" || s.Category != "docs" || s.Principal != "team:docs" || string(s.Blob.Body) != "# Guide" {
		t.Errorf("taken in %+v", s)
	}
	dead, err := env.Bus("gateway").DeadLetters(t.Context(), bus.DeadFilter{Service: "knowledge"})
	if err != nil || len(dead) != 2 {
		t.Errorf("%d dead letters, want 2 (%v)", len(dead), err)
	}
}

func TestADocumentOfASourceIsTakenInUnderItsPlaceAndGoesWithIt(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "ingestion", "knowledge")
	heard, gone := make(chan document.Submission, 10), make(chan string, 10)
	in := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{Service: "knowledge", DB: pgtest.New(t, knowledge.Migrations)})
	(&inbox.Handlers{
		Accept: func(_ context.Context, s document.Submission) (document.Document, error) {
			heard <- s
			return document.Document{}, nil
		},
		DeleteAt: func(_ context.Context, p tenant.Project, collection, source, principal string) error {
			gone <- fmt.Sprint(p, collection, source, principal)
			return nil
		},
	}).Register(in)
	env.Run(in)
	env.Say(&ingestionv1.DocumentFetched{
		ProjectId: 3, DocumentId: "1", Version: 1, SourceId: 7, Place: "example.com/a.pdf", Title: "A", ContentType: "text/html", Typed: true, Content: []byte("<p>x</p>"), Collection: "c", Category: "News",
		TechnologyId: 4, Language: "xx",
	})
	s := bustest.Await(env, heard)
	if s.Project != 3 || s.Source != "example.com/a.pdf" || s.Title != "A" || !s.Typed || s.ContentType != "text/html" || string(s.Blob.Body) != "<p>x</p>" || s.Collection != "c" || s.Category != "News" ||
		s.Technology != 4 || s.TextLanguage != "" || s.Principal != "service:ingestion" {
		t.Errorf("taken in %+v", s)
	}
	env.Say(&ingestionv1.DocumentFetched{ProjectId: 3, DocumentId: "1", Version: 2, Place: "a", Object: "p3/x", Size: 9, Sha256: "ab", Language: "de"})
	if s := bustest.Await(env, heard); s.Blob.Name != "p3/x" || s.Blob.Size != 9 || s.TextLanguage != "de" || len(s.Blob.Body) != 0 {
		t.Errorf("taken in %+v", s)
	}
	env.Say(&ingestionv1.DocumentGone{ProjectId: 3, DocumentId: "1", Version: 3, Place: "a", Collection: "c"})
	if got := bustest.Await(env, gone); got != "3 c a service:ingestion" && got != "3caservice:ingestion" {
		t.Errorf("gone %q", got)
	}
}
