package document

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// State is how far a document is.
type State string

// The states. An indexing document is found by words as soon as its text is
// extracted; an indexed one by meaning too, if there is a model.
const (
	Indexing State = "indexing"
	Indexed  State = "indexed"
	Failed   State = "failed"
)

// Refusals of documents.
var (
	ErrNotFound = errs.New(errs.NotFound, "no such document")
	ErrClosed   = errs.New(errs.NotFound, "the project is being deleted")
	ErrNotYours = errs.New(errs.Forbidden, "only who added the document, or an admin of the project, may delete it")
)

// DefaultCollection is where documents without a collection go.
const DefaultCollection = "default"

// CollectionOf is the collection of a repository.
func CollectionOf(repository int64) string { return fmt.Sprintf("commandcenter_%d", repository) }

// Blob is where the bytes of a document are: in the object store, or, for what
// came as text, in Body.
type Blob struct {
	SHA256 string // lower-case hex
	Size   int64
	Bucket string
	Name   string
	Body   []byte
}

// Stored reports whether the bytes are in the object store.
func (b Blob) Stored() bool { return b.Name != "" }

// Document is a document as it is kept.
type Document struct {
	ID         int64
	Project    tenant.Project
	Collection string
	Source     string // name under which it is replaced: a file name or path
	Title      string
	Titled     bool // the title was given with the document, not found in it
	Category   string
	Repository int64 // 0: none
	Technology int64 // 0: none
	Format     extract.Format
	// TextLanguage is the language of the text, as it was declared; "" has it found
	// out.
	TextLanguage string
	ContentType  string
	Size         int64
	SHA256       string
	Version      int // from 1, rises with every change of content
	State        State
	Extracted    bool // its chunks are those of this version
	Reason       string
	Error        string
	Chunks       int
	Embedded     int    // chunks that have a vector of the model below, or of the one at work
	Model        string // that made the vectors of all chunks; "" while there are none
	Job          uuid.UUID
	Operation    uuid.UUID // of the call that is answered when the text is extracted; only on the way in
	Generation   int64     // of the project when it last changed
	CreatedBy    int64     // user; 0 for a service
	Principal    string
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Page is a part of a list.
type Page struct {
	Documents []Document
	Total     int // of the whole list
}

// Chunk is one passage of a document as it is kept.
type Chunk struct {
	ID int64
	chunk.Chunk
	Ordinal int
	Hash    [sha256.Size]byte
}

// number gives the chunks their place and identity.
func number(title string, cs []chunk.Chunk) []Chunk {
	out := make([]Chunk, len(cs))
	for i, c := range cs {
		out[i] = Chunk{Chunk: c, Ordinal: i, Hash: sha256.Sum256([]byte(c.Embedded(title) + "\x00" + c.Symbol))}
	}
	return out
}

// Digest is the SHA-256 of data in lower-case hex.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Submission is a document on its way in, as the caller described it.
type Submission struct {
	Project     tenant.Project
	Collection  string // "": by repository, else the default
	Source      string
	Title       string // "": found in the content
	Category    string
	Repository  int64
	Technology  int64
	ContentType string // as declared; "" unknown
	Typed       bool   // ContentType is right, whatever Source looks like
	// TextLanguage is the language of the text, as ISO 639-1 has it; "" unknown.
	TextLanguage string
	CreatedBy    int64
	Principal    string
	Operation    uuid.UUID // of the call
	Blob         Blob
}

// check validates s and fills in what follows from the rest.
func (s *Submission) check() error {
	s.Source = CleanName(s.Source)
	s.Title = strings.Join(strings.Fields(s.Title), " ")
	s.Category = strings.TrimSpace(s.Category)
	s.Collection = strings.TrimSpace(s.Collection)
	if s.Collection == "" {
		s.Collection = DefaultCollection
		if s.Repository > 0 {
			s.Collection = CollectionOf(s.Repository)
		}
	}
	for _, f := range []struct {
		name, value string
		max         int
	}{{"file", s.Source, 1024}, {"category", s.Category, 100}, {"collection", s.Collection, 100}} {
		switch {
		case f.value == "":
			return errs.InvalidField("missing", f.name+" must not be empty", "body", f.name)
		case utf8.RuneCountInString(f.value) > f.max:
			return errs.InvalidField("string_too_long", fmt.Sprintf("%s has more than %d characters", f.name, f.max), "body", f.name)
		case !printable(f.value):
			return errs.InvalidField("value_error", f.name+" holds control characters", "body", f.name)
		}
	}
	if utf8.RuneCountInString(s.Title) > 512 {
		return errs.InvalidField("string_too_long", "title has more than 512 characters", "body", "title")
	}
	if !printable(s.Title) {
		return errs.InvalidField("value_error", "title holds control characters", "body", "title")
	}
	if s.Repository < 0 {
		return errs.InvalidField("greater_than", "repository_id must be above 0", "body", "repository_id")
	}
	if s.Technology < 0 {
		return errs.InvalidField("greater_than", "technology_id must be above 0", "body", "technology_id")
	}
	if _, known := terms.ParseLanguage(s.TextLanguage); s.TextLanguage != "" && !known {
		return errs.InvalidField("enum", "text_language must be one of "+fmt.Sprint(terms.Languages()), "body", "text_language")
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// CleanName makes a source name of a file name: forward slashes, no leading
// ones, no steps upwards. It is a name, never a path that anything opens.
func CleanName(s string) string {
	parts := strings.FieldsFunc(strings.ReplaceAll(strings.TrimSpace(s), "\\", "/"), func(r rune) bool { return r == '/' })
	kept := parts[:0]
	for _, p := range parts {
		if p != "." && p != ".." {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "/")
}

// Same reports whether d is what the submission would make of it, so that
// nothing has to be done. What failed or was given up is not: sending it again
// is how it is tried again.
func (d Document) Same(n Document) bool {
	return d.SHA256 == n.SHA256 && d.State != Failed && d.Reason == "" && d.Category == n.Category && d.Technology == n.Technology && d.Repository == n.Repository &&
		d.Titled == n.Titled && (!n.Titled || d.Title == n.Title) && d.Format == n.Format &&
		d.TextLanguage == n.TextLanguage
}

// MayDelete reports whether the caller may delete d: whoever added it, an
// admin of the project, a superuser.
func (d Document) MayDelete(who tenant.Identity) bool {
	return who.Allows(tenant.Admin) || (who.Allows(tenant.Member) && who.Principal != "" && who.Principal == d.Principal)
}
