package serve

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
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
func Import(in Restoring, kept Bytes, set Setting, judging Judging) portable.Importer {
	return portable.Importer{
		Object: func(ctx context.Context, to portable.Destination, o portable.Object) error {
			if o.Size > document.MaxSize {
				return document.ErrTooLarge
			}
			return kept.Keep(ctx, to.Project, document.Blob{SHA256: o.SHA256, Size: o.Size, Bucket: o.Bucket, Name: o.Name})
		},
		Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
			"documents": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				return true, restore(ctx, in, kept, to, row)
			},
			"search_settings": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				s, err := readSettings(row)
				if err != nil {
					return false, err
				}
				_, err = set.Set(ctx, to.Project, s.apply)
				return true, err
			},
			"judged_sets": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				name, err := readJudgedSet(row)
				if err != nil {
					return false, err
				}
				_, err = judging.Judge(ctx, to.Project, name, to.Principal, nil, true)
				return true, err
			},
			"judged_questions": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				name, question, err := readJudged(row)
				if err != nil {
					return false, err
				}
				_, err = judging.Judge(ctx, to.Project, name, to.Principal, []trial.Question{question}, true)
				return true, err
			},
		},
		End: func(ctx context.Context, to portable.Destination) error { return kept.Tidy(ctx, to.Project) },
	}
}

// exported is what is taken in of a document's row.
type exported struct {
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

	// What is told of it and made anew here.
	ID      *int64          `json:"id"`
	Size    *int64          `json:"size"`
	Version *int64          `json:"version"`
	Chunks  *int64          `json:"chunks"`
	State   *document.State `json:"state"`
}

func (r exported) submission() document.Submission {
	return document.Submission{
		Collection: r.Collection, Source: r.Source, Title: r.Title, Category: r.Category, Repository: value(r.RepositoryID), Technology: value(r.TechnologyID), ContentType: r.ContentType,
		TextLanguage: r.TextLanguage,
	}
}

// ahead is how far the clock of another instance may be ahead.
const ahead = 24 * time.Hour

// CheckDocument refuses a document that could not have been kept.
func CheckDocument(row []byte) error {
	r, err := readDocument(row)
	if err != nil {
		return err
	}
	for _, n := range []struct {
		name  string
		value *int64
		least int64
	}{
		{"id", r.ID, 1}, {"repository_id", r.RepositoryID, 1}, {"technology_id", r.TechnologyID, 1}, {"version", r.Version, 1}, {"size", r.Size, 0}, {"chunks", r.Chunks, 0},
	} {
		if n.value != nil && *n.value < n.least {
			return errs.Newf(errs.Invalid, "%s: %d is none", n.name, *n.value)
		}
	}
	switch {
	case r.State != nil && !slices.Contains([]document.State{document.Indexing, document.Indexed, document.Failed}, *r.State):
		return errs.Newf(errs.Invalid, "state: %.40q is none", *r.State)
	case r.SHA256 == "":
		return errs.New(errs.Invalid, "sha256: a document has bytes")
	case r.CreatedAt.Year() < 1970 || r.CreatedAt.After(time.Now().Add(ahead)):
		return errs.Newf(errs.Invalid, "created_at: %s is not when it was made", r.CreatedAt.Format(time.RFC3339))
	}
	return r.submission().Kept()
}

func readDocument(row []byte) (r exported, err error) {
	if err := json.Unmarshal(row, &r); err != nil {
		return r, errs.Wrap(errs.Invalid, err, "it cannot be read as a document")
	}
	return r, nil
}

func restore(ctx context.Context, in Restoring, kept Bytes, to portable.Destination, row []byte) error {
	r, err := readDocument(row)
	if err != nil {
		return err
	}
	s := r.submission()
	if s.Blob, err = kept.Kept(ctx, to.Project, r.SHA256); err != nil {
		return err
	}
	s.Project, s.CreatedBy, s.Principal = to.Project, to.UserID, to.Principal
	_, err = in.Restore(ctx, s, r.Titled, r.CreatedAt)
	return err
}

// CheckSettings refuses settings of searches that nobody could have made.
func CheckSettings(row []byte) error {
	_, err := readSettings(row)
	return err
}

func readSettings(row []byte) (wanted, error) {
	var r struct {
		Mode      string   `json:"mode"`
		Alpha     *float64 `json:"alpha"`
		Fusion    string   `json:"fusion"`
		Languages string   `json:"languages"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return wanted{}, errs.Wrap(errs.Invalid, err, "it cannot be read as settings of searches")
	}
	s := wanted{Mode: given(orNil(r.Mode)), Alpha: given(r.Alpha), Fusion: given(orNil(r.Fusion))}
	if r.Languages != "" {
		list := strings.Split(r.Languages, ",")
		s.Languages = given(&list)
	}
	return s, s.check()
}

// CheckJudgedSet refuses a set of judged questions that nobody could have made.
func CheckJudgedSet(row []byte) error {
	_, err := readJudgedSet(row)
	return err
}

func readJudgedSet(row []byte) (name string, err error) {
	var r struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return "", errs.Wrap(errs.Invalid, err, "it cannot be read as a set of judged questions")
	}
	return r.Name, evaluation.CheckName(r.Name)
}

// CheckJudged refuses a judged question that nobody could have asked.
func CheckJudged(row []byte) error {
	_, _, err := readJudged(row)
	return err
}

func readJudged(row []byte) (set string, q trial.Question, err error) {
	var r struct {
		Set      string          `json:"set_name"`
		Question string          `json:"question"`
		Body     string          `json:"body"`
		Relevant []trial.Section `json:"relevant"`
	}
	if err := json.Unmarshal(row, &r); err != nil {
		return "", q, errs.Wrap(errs.Invalid, err, "it cannot be read as a judged question")
	}
	q = trial.Question{ID: r.Question, Text: r.Body, Relevant: r.Relevant}
	return r.Set, q, errors.Join(evaluation.CheckName(r.Set), evaluation.CheckQuestions([]trial.Question{q}))
}
