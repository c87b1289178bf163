package project

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds, in characters.
const (
	MaxName        = 255
	MaxDescription = 10000
)

// DefaultName is the name of the project that a new account gets.
const DefaultName = "Default Project"

// Failures that a caller is told.
var (
	ErrNotFound  = errs.New(errs.NotFound, "project not found")
	ErrExists    = errs.New(errs.Conflict, "a project of this name already exists")
	ErrHeirHas   = errs.New(errs.Conflict, "the new owner has a project of this name already: give this one another name first (PATCH /api/v1/projects/{project_id})")
	ErrLast      = errs.New(errs.Conflict, "this is the owner's last project: create another one before you delete it")
	ErrForbidden = errs.New(errs.Forbidden, "your role in this project does not allow this")
)

// Project is a tenant.
type Project struct {
	ID          tenant.Project
	Name        string
	OwnerID     int64
	Owner       string // the owner's address
	Description *string
	Version     int64 // counts the changes of the project
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Mine is a project with the caller's role in it.
type Mine struct {
	Project
	Role    tenant.Role
	Default bool // of the user; in lists only
}

// Draft is what a caller gives to make a project.
type Draft struct {
	Name        string
	Description *string
}

// Field is a value of a patch: absent, null, or there.
type Field[T any] struct {
	Set   bool
	Value *T // nil for null
}

// Patch changes the fields that are set.
type Patch struct {
	Name        Field[string]
	Owner       Field[string] // address of the member who becomes the owner
	Description Field[string]
}

// Check trims a draft and reports all faults together.
func (d Draft) Check() (Draft, error) {
	var f faults
	d.Name = f.name(d.Name)
	d.Description = f.description(d.Description)
	return d, f.err()
}

func (p Patch) check() (Patch, error) {
	var f faults
	if p.Name.Set {
		if p.Name.Value == nil {
			f.add("string_type", "name", "the name may not be null", nil)
		} else {
			name := f.name(*p.Name.Value)
			p.Name.Value = &name
		}
	}
	if p.Owner.Set {
		if p.Owner.Value == nil {
			f.add("string_type", "owner", "the owner may not be null", nil)
		} else {
			owner := strings.TrimSpace(*p.Owner.Value)
			p.Owner.Value = &owner
		}
	}
	p.Description.Value = f.description(p.Description.Value)
	return p, f.err()
}

// apply returns p with the plain fields of the patch; the owner is no plain
// field. changed is false when nothing is different afterwards.
func (p Patch) apply(to Project) (out Project, changed bool) {
	out = to
	if p.Name.Set && *p.Name.Value != to.Name {
		out.Name, changed = *p.Name.Value, true
	}
	if p.Description.Set && !same(p.Description.Value, to.Description) {
		out.Description, changed = p.Description.Value, true
	}
	return out, changed
}

func same(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// faults collects the fields at fault.
type faults []errs.Field

func (f *faults) add(typ, field, msg string, input any) {
	*f = append(*f, errs.Field{Type: typ, Loc: []any{"body", field}, Msg: msg, Input: input})
}

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	e := errs.New(errs.Invalid, (*f)[0].Msg)
	e.Fields = *f
	return e
}

// unseen reports what turns text around it or shows nothing. Joiners are letters of
// some scripts, and of some faces.
func unseen(r rune) bool {
	const joiner, nonJoiner = '\u200d', '\u200c'
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != joiner && r != nonJoiner
}

func (f *faults) name(s string) string {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		f.add("string_too_short", "name", "the name may not be empty", s)
	case utf8.RuneCountInString(s) > MaxName:
		f.add("string_too_long", "name", "the name may have at most 255 characters", s)
	case strings.ContainsFunc(s, unseen) || !utf8.ValidString(s):
		f.add("string_unprintable", "name", "the name holds control characters, or such as are not seen", s)
	}
	return s
}

func (f *faults) description(s *string) *string {
	switch {
	case s == nil:
		return nil
	case utf8.RuneCountInString(*s) > MaxDescription:
		f.add("string_too_long", "description", "the description may have at most 10000 characters", nil)
	case strings.ContainsRune(*s, 0) || !utf8.ValidString(*s):
		f.add("string_unprintable", "description", "the description holds characters that are no text", nil)
	}
	return s
}
