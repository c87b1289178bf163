package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Document is a file at a task.
type Document struct {
	ID          int64     `json:"id" db:"id"`
	TaskID      int64     `json:"-" db:"task_id"`
	Filename    string    `json:"filename" db:"filename"` // as it is shown, and never a path
	ContentType string    `json:"content_type" db:"content_type"`
	Size        int64     `json:"size" db:"size"`     // bytes
	SHA256      string    `json:"sha256" db:"sha256"` // lower-case hex
	UploadedBy  string    `json:"uploaded_by" db:"uploaded_by"`
	UploadedAt  time.Time `json:"uploaded_at" db:"uploaded_at"`
	File        File      `json:"-" db:"-"`
}

// File is where bytes are kept.
type File struct {
	SHA256 string `db:"sha256"`
	Size   int64  `db:"size"`
	Bucket string `db:"bucket"`
	Name   string `db:"name"`
}

// Bounds of documents.
const (
	MaxDocument  = 25 << 20 // bytes
	MaxDocuments = 50       // of a task
)

// The refusals of documents.
var (
	ErrNoDocument    = errs.New(errs.NotFound, "the task has no such document")
	ErrManyDocuments = errs.New(errs.Conflict, "a research task has at most 50 documents: delete some first")
	ErrTooLarge      = errs.New(errs.TooLarge, "a document has at most 25 MiB")
	ErrNotUploaded   = errs.New(errs.Forbidden, "a document is deleted by who uploaded it, or by an admin of the project")
	errType          = errs.New(errs.Unsupported, "the content is none of PDF, Markdown, text, CSV, JSON, Word (.docx), PNG and JPEG, or is not what its name says")
)

// kinds are the types that are taken, by the ends of names.
var kinds = map[string]string{
	".pdf": "application/pdf", ".md": "text/markdown", ".txt": "text/plain", ".csv": "text/csv", ".json": "application/json",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
}

// Named makes a document of what somebody calls a file: the last part of a path is its
// name, and its end says what its content has to be.
func Named(filename string) (Document, error) {
	name := path.Base(strings.ReplaceAll(strings.TrimSpace(filename), `\`, "/"))
	if name == "" || name == "." || name == "/" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxTitle || strings.ContainsFunc(name, unprintable) {
		return Document{}, errs.InvalidField("value_error", fmt.Sprintf("a document has a name of at most %d characters that can be printed", maxTitle), "body", "file")
	}
	kind, ok := kinds[strings.ToLower(path.Ext(name))]
	if !ok {
		return Document{}, errType
	}
	return Document{Filename: name, ContentType: kind}, nil
}

// unprintable are characters that are not seen, or that turn what is around them.
func unprintable(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// Check says whether a document can have been kept.
func (d Document) Check() error {
	named, err := Named(d.Filename)
	if err != nil {
		return err
	}
	if d.Filename != named.Filename || d.ContentType != named.ContentType || d.Size < 0 || d.Size > MaxDocument || d.ID < 1 || d.TaskID < 1 {
		return errs.New(errs.Invalid, "no research task can have this document")
	}
	return nil
}

// Looks reads a content to its end, and says whether it is what the type says. The bytes
// decide: what a browser could take for a page or a program is none of these.
func (d Document) Looks(content io.Reader) error {
	r := io.LimitReader(content, MaxDocument+1)
	var err error
	switch d.ContentType {
	case "application/pdf":
		err = begins(r, "%PDF-")
	case "image/png":
		err = begins(r, "\x89PNG\r\n\x1a\n")
	case "image/jpeg":
		err = begins(r, "\xff\xd8\xff")
	case kinds[".docx"]:
		err = word(r)
	case "application/json":
		err = values(r)
	default:
		_, err = io.Copy(&plainText{}, r)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return err
}

func begins(r io.Reader, magic string) error {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if string(head) != magic {
		return errType
	}
	return nil
}

// word looks for the part of a package that only a text of Word has.
func word(r io.Reader) error {
	if err := begins(r, "PK\x03\x04"); err != nil {
		return err
	}
	part, found := []byte("word/document.xml"), false
	block, kept := make([]byte, 64<<10), 0
	for {
		n, err := r.Read(block[kept:])
		seen := block[:kept+n]
		found = found || bytes.Contains(seen, part)
		kept = copy(block, seen[max(0, len(seen)-len(part)):])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return errType
	}
	return nil
}

// values reads JSON.
func values(r io.Reader) error {
	d := json.NewDecoder(r)
	for n, depth := 0, 0; ; n++ {
		token, err := d.Token()
		var wrong *json.SyntaxError
		switch {
		case token == json.Delim('{'), token == json.Delim('['):
			depth++
		case token == json.Delim('}'), token == json.Delim(']'):
			depth--
		case errors.Is(err, io.EOF) && n > 0 && depth == 0:
			return nil
		case errors.As(err, &wrong), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errType
		case err != nil:
			return err
		}
	}
}

// plainText takes UTF-8 without characters that texts do not have.
type plainText struct{ begun []byte } // of a character

// Write looks at the next piece.
func (p *plainText) Write(b []byte) (int, error) {
	text := append(p.begun, b...)
	for len(text) > 0 {
		if !utf8.FullRune(text) {
			break
		}
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 || r < ' ' && !strings.ContainsRune("\t\n\r\f", r) || r == 0x7f {
			return 0, errType
		}
		text = text[n:]
	}
	p.begun = bytes.Clone(text)
	return len(b), nil
}
