package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
)

// stage plays everybody whom an import deals with.
type stage struct {
	file   []byte
	opened error
	put    string // sum that a put tells, instead of the true one
	fails  map[string]error

	said   []string
	draft  project.Draft
	limits []quota.Quota
}

func (s *stage) say(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	s.said = append(s.said, line)
	word, _, _ := strings.Cut(line, " ")
	return s.fails[word]
}

func (s *stage) Open(context.Context, transfer.Object) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.file)), s.opened
}

func (s *stage) Put(_ context.Context, _ string, p tenant.Project, r io.Reader, _ int64) (transfer.Object, error) {
	text, err := io.ReadAll(r)
	o := transfer.Object{Name: "o", SHA256: sum(string(text)), Size: int64(len(text))}
	if s.put != "" {
		o.SHA256 = s.put
	}
	return o, errors.Join(err, s.say("put %d %s", p, text))
}

func (s *stage) Delete(context.Context, transfer.Object) error { return s.say("delete") }

func (s *stage) Begin(_ context.Context, service string, _ transfer.To, v archive.Schemas) error {
	return s.say("begin %s %d", service, v.Own)
}

func (s *stage) Rows(_ context.Context, service string, to transfer.To, l transfer.Lines) (taken, left int64, err error) {
	n := int64(bytes.Count(l.Rows, []byte("\n")))
	return n, 0, s.say("rows %s.%s %d to %d, from %s, line %d", service, l.Table, n, to.Project, l.Part, l.First)
}

func (s *stage) Object(_ context.Context, service string, _ transfer.To, o transfer.Object) error {
	return s.say("object %s %d", service, o.Size)
}

func (s *stage) End(_ context.Context, service string, _ transfer.To) error {
	return s.say("end %s", service)
}

func (s *stage) Reserve(_ context.Context, _ uuid.UUID, _ int64, name string, _ time.Time) (tenant.Project, error) {
	return 9, s.say("reserve %s", name)
}

func (s *stage) Settle(_ context.Context, p tenant.Project, t transfer.Task, d project.Draft, limits []quota.Quota, _ time.Time) (project.Project, error) {
	s.draft, s.limits = d, limits
	return project.Project{ID: p, Name: d.Name, OwnerID: t.UserID}, s.say("settle")
}

func (s *stage) Abandon(context.Context, uuid.UUID, time.Time) error { return s.say("abandon") }

func (s *stage) importer() transfer.Importer {
	return transfer.Importer{
		Objects: s, Services: s, Projects: s, Holders: []string{"books"}, Own: "auth", Now: time.Now,
		Versions: func() (int64, int64, error) { return 5, 5, nil }, Bounds: archive.Bounds{Bytes: 1 << 20, Object: 1 << 10, Members: 100},
		Check: s.check,
	}
}

func (s *stage) check(service, table string, row []byte) error {
	if bytes.Contains(row, []byte("forged")) {
		return errs.Newf(errs.Invalid, "%s has no column \"forged\"", table)
	}
	return nil
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func pack(t *testing.T, services map[string]archive.Schemas, fill func(w *archive.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Head{Project: "Apollo", Services: services})
	if err == nil {
		err = errors.Join(fill(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var both = map[string]archive.Schemas{"auth": {Own: 5, Common: 5}, "books": {Own: 2}}

func whole(t *testing.T) []byte {
	return pack(t, both, func(w *archive.Writer) error {
		return errors.Join(
			w.Rows("auth", "memberships", []byte(`{"role":"owner"}`+"\n"+`{"role":"admin"}`+"\n")),
			w.Rows("auth", "project_quotas", []byte(`{"class":"reads","calls":10,"seconds":60,"raised":true,"set_by":1}`+"\n")),
			w.Rows("auth", "projects", []byte(`{"name":"Other","description":"to the moon","owner_id":1}`+"\n")),
			w.Object("books", sum("text"), 4, strings.NewReader("text")), w.Rows("books", "volumes", bytes.Repeat([]byte("{}\n"), 60)))
	})
}

func (s *stage) run(t *testing.T, task transfer.Task) (transfer.Imported, error) {
	t.Helper()
	settle, err := s.importer().Prepare(t.Context(), uuid.New(), task, func(int64, int64) {})
	if err != nil {
		return transfer.Imported{}, err
	}
	return settle(t.Context())
}

func TestAnImportChecksFillsAndSettles(t *testing.T) {
	t.Parallel()
	s := &stage{file: whole(t)}
	got, err := s.run(t, transfer.Task{UserID: 3})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"reserve Apollo", "begin books 2", "put 9 text", "object books 4", "rows books.volumes 25 to 9, from books/volumes/000001.ndjson, line 1",
		"rows books.volumes 25 to 9, from books/volumes/000001.ndjson, line 26", "rows books.volumes 10 to 9, from books/volumes/000001.ndjson, line 51",
		"end books", "settle",
	}
	if !slices.Equal(s.said, want) {
		t.Errorf("%q\nwant %q", s.said, want)
	}
	if got.Project.OwnerID != 3 || got.Tally != (transfer.Tally{Rows: 62, LeftOut: 2, Objects: 1}) || *s.draft.Description != "to the moon" {
		t.Errorf("%+v %+v", got, s.draft)
	}
	if len(s.limits) != 1 || s.limits[0].Raised || s.limits[0].By != 3 || s.limits[0].Limit() != "10/minute" {
		t.Errorf("limits %+v", s.limits)
	}
	s = &stage{file: whole(t)}
	if _, err := s.run(t, transfer.Task{UserID: 3, Superuser: true, Name: "Gemini"}); err != nil || !s.limits[0].Raised || s.draft.Name != "Gemini" {
		t.Errorf("by a superuser: %v %+v %+v", err, s.limits, s.draft)
	}
	if err := s.importer().Discard(t.Context(), transfer.Task{}); err != nil || s.said[len(s.said)-1] != "delete" {
		t.Errorf("%v %q", err, s.said)
	}
}

func TestWhatIsRefusedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	nothing := func(*archive.Writer) error { return nil }
	bad := whole(t)
	bad[len(bad)/2] ^= 0xff
	for name, s := range map[string]*stage{
		"damaged": {file: bad}, "gone": {opened: errs.New(errs.NotFound, "the stored file is gone")},
		"of a service that is not here": {file: pack(t, map[string]archive.Schemas{"films": {}}, nothing)},
		"a row that no export writes":   {file: pack(t, both, func(w *archive.Writer) error { return w.Rows("auth", "projects", []byte(`{"forged":1}`+"\n")) })},
		"one of another service": {file: pack(t, both, func(w *archive.Writer) error {
			return w.Rows("books", "pages", []byte(`{"id":1}`+"\n"+`{"forged":1}`+"\n"))
		})},
		"of a newer schema": {file: pack(t, map[string]archive.Schemas{"auth": {Own: 6}}, nothing)},
	} {
		if _, err := s.run(t, transfer.Task{UserID: 3}); errs.KindOf(err) != errs.Invalid || len(s.said) != 0 {
			t.Errorf("%s: %v %q", name, err, s.said)
		}
	}
	s := &stage{file: whole(t)}
	if _, err := s.run(t, transfer.Task{UserID: 3, Name: strings.Repeat("x", 300)}); errs.KindOf(err) != errs.Invalid || len(s.said) != 0 {
		t.Errorf("a name: %v %q", err, s.said)
	}
	s.fails = map[string]error{"reserve": project.ErrExists}
	if _, err := s.run(t, transfer.Task{UserID: 3}); !errors.Is(err, project.ErrExists) || len(s.said) != 1 {
		t.Errorf("a name in use: %v %q", err, s.said)
	}
}

func TestARowThatNobodyCouldHaveKeptIsRefused(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]string{
		`{"name":"Apollo","description":null}`: "", `{"name":""}`: "name", `{"name":"x","description":"` + strings.Repeat("x", 20_000) + `"}`: "description", `{"name":5}`: "cannot be read",
	} {
		if err := transfer.CheckProject([]byte(row)); (err == nil) != (want == "") || err != nil && !strings.Contains(errs.As(err).Public(), want) {
			t.Errorf("%.80s: %v, want %q", row, err, want)
		}
	}
	for row, want := range map[string]string{
		`{"class":"reads","calls":10,"seconds":60,"raised":true,"set_by":1}`: "", `{"class":"x","calls":10,"seconds":60}`: "class", `{"class":"reads","calls":-1,"seconds":60}`: "limit",
		`{"class":"reads","calls":"x"}`: "cannot be read",
	} {
		if err := transfer.CheckLimit([]byte(row)); (err == nil) != (want == "") || err != nil && !strings.Contains(errs.As(err).Public(), want) {
			t.Errorf("%s: %v, want %q", row, err, want)
		}
	}
}

func TestARefusalGivesUpWhatCameBeforeAndAFaultIsTriedAgain(t *testing.T) {
	t.Parallel()
	refusal, fault := errs.New(errs.Invalid, "no"), errs.New(errs.Unavailable, "not now")
	for _, step := range []string{"begin", "put", "object", "rows", "end"} {
		s := &stage{file: whole(t), fails: map[string]error{step: refusal}}
		if _, err := s.run(t, transfer.Task{UserID: 3}); !errors.Is(err, refusal) || s.said[len(s.said)-1] != "abandon" {
			t.Errorf("%s: %v %q", step, err, s.said)
		}
		s = &stage{file: whole(t), fails: map[string]error{step: fault}}
		if _, err := s.run(t, transfer.Task{UserID: 3}); !errors.Is(err, fault) || slices.Contains(s.said, "abandon") {
			t.Errorf("%s: %v %q", step, err, s.said)
		}
	}
	for name, fill := range map[string]func(w *archive.Writer) error{
		"keys":    func(w *archive.Writer) error { return w.Rows("auth", "api_keys", []byte("{}\n")) },
		"a class": func(w *archive.Writer) error { return w.Rows("auth", "project_quotas", []byte(`{"class":"x"}`+"\n")) },
		"a limit": func(w *archive.Writer) error {
			return w.Rows("auth", "project_quotas", []byte(`{"class":"reads","calls":0,"seconds":7}`+"\n"))
		},
		"no limit":      func(w *archive.Writer) error { return w.Rows("auth", "project_quotas", []byte(`{"calls":"x"}`+"\n")) },
		"no text":       func(w *archive.Writer) error { return w.Rows("auth", "projects", []byte(`{"description":5}`+"\n")) },
		"an own object": func(w *archive.Writer) error { return w.Object("auth", sum("a"), 1, strings.NewReader("a")) },
	} {
		s := &stage{file: pack(t, both, fill)}
		if _, err := s.run(t, transfer.Task{UserID: 3}); errs.KindOf(err) != errs.Invalid || s.said[len(s.said)-1] != "abandon" {
			t.Errorf("%s: %v %q", name, err, s.said)
		}
	}
	s := &stage{file: whole(t), put: sum("another")}
	if _, err := s.run(t, transfer.Task{UserID: 3}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a store that has something else: %v", err)
	}
}
