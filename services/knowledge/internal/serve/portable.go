package serve

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
)

// Restoring takes documents of an archive in.
type Restoring interface {
	Restore(ctx context.Context, s document.Submission, titled bool, created time.Time) (document.Document, error)
}

// Bytes keeps what documents of an archive are going to refer to.
type Bytes interface {
	Keep(ctx context.Context, p tenant.Project, b document.Blob) error
	Kept(ctx context.Context, p tenant.Project, sha256 string) (document.Blob, error)
	Tidy(ctx context.Context, p tenant.Project) error
}

// Import is how the service takes in what was exported.
func Import(in Restoring, kept Bytes, set Setting, judging Judging, now func() time.Time) portable.Importer {
	return portable.Importer{
		Object: func(ctx context.Context, to portable.Destination, o portable.Object) error {
			if o.Size > document.MaxSize {
				return document.ErrTooLarge
			}
			return kept.Keep(ctx, to.Project, document.Blob{SHA256: o.SHA256, Size: o.Size, Bucket: o.Bucket, Name: o.Name})
		},
		Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
			"documents": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				return true, restore(ctx, in, kept, to, row, now())
			},
			"search_settings": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				return true, restoreSettings(ctx, set, to, row)
			},
			"judged_sets": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				var r struct {
					Name string `json:"name"`
				}
				if err := json.Unmarshal(row, &r); err != nil {
					return false, errs.Wrap(errs.Invalid, err, "a set of judged questions cannot be read")
				}
				return true, rejudge(ctx, judging, to, r.Name, nil)
			},
			"judged_questions": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				var r struct {
					Set      string          `json:"set_name"`
					Question string          `json:"question"`
					Body     string          `json:"body"`
					Relevant []trial.Section `json:"relevant"`
				}
				if err := json.Unmarshal(row, &r); err != nil {
					return false, errs.Wrap(errs.Invalid, err, "a judged question cannot be read")
				}
				return true, rejudge(ctx, judging, to, r.Set, []trial.Question{{ID: r.Question, Text: r.Body, Relevant: r.Relevant}})
			},
		},
		End: func(ctx context.Context, to portable.Destination) error { return kept.Tidy(ctx, to.Project) },
	}
}

func restore(ctx context.Context, in Restoring, kept Bytes, to portable.Destination, row []byte, now time.Time) error {
	var r struct {
		Collection   string    `json:"collection"`
		Source       string    `json:"source"`
		Title        string    `json:"title"`
		Titled       bool      `json:"titled"`
		Category     string    `json:"category"`
		RepositoryID *int64    `json:"repository_id"`
		TechnologyID *int64    `json:"technology_id"`
		ContentType  string    `json:"content_type"`
		SHA256       string    `json:"sha256"`
		TextLanguage string    `json:"text_language"`
		CreatedAt    time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "a document cannot be read")
	}
	if r.CreatedAt.After(now) || r.CreatedAt.Year() < 1970 {
		r.CreatedAt = now
	}
	b, err := kept.Kept(ctx, to.Project, r.SHA256)
	if err != nil {
		return err
	}
	_, err = in.Restore(ctx, document.Submission{
		Project: to.Project, Collection: r.Collection, Source: r.Source, Title: r.Title, Category: r.Category, Repository: value(r.RepositoryID),
		Technology: value(r.TechnologyID), ContentType: r.ContentType, TextLanguage: r.TextLanguage, CreatedBy: to.UserID, Principal: to.Principal, Blob: b,
	}, r.Titled, r.CreatedAt)
	return err
}

func restoreSettings(ctx context.Context, set Setting, to portable.Destination, row []byte) error {
	var r struct {
		Mode      string   `json:"mode"`
		Alpha     *float64 `json:"alpha"`
		Fusion    string   `json:"fusion"`
		Languages string   `json:"languages"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "the settings of searches cannot be read")
	}
	s := wanted{Mode: given(orNil(r.Mode)), Alpha: given(r.Alpha), Fusion: given(orNil(r.Fusion))}
	if r.Languages != "" {
		list := strings.Split(r.Languages, ",")
		s.Languages = given(&list)
	}
	if err := s.check(); err != nil {
		return err
	}
	_, err := set.Set(ctx, to.Project, s.apply)
	return err
}

// rejudge takes judged questions in, as an import does.
func rejudge(ctx context.Context, judging Judging, to portable.Destination, name string, questions []trial.Question) error {
	if err := errors.Join(evaluation.CheckName(name), evaluation.CheckQuestions(questions)); err != nil {
		return err
	}
	_, err := judging.Judge(ctx, to.Project, name, to.Principal, questions, true)
	return err
}
