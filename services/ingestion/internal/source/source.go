package source

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Kind is what a source is.
type Kind string

// The kinds.
const (
	Feed       Kind = "rss"           // RSS, Atom or JSON Feed
	Site       Kind = "documentation" // pages below an address
	HackerNews Kind = "hackernews"    // stories that name some words
	Folder     Kind = "file_watcher"  // files below a path of the machine
)

// Status is how a source is.
type Status string

// The statuses.
const (
	Pending  Status = "pending"  // was not run yet, or is about to
	Running  Status = "running"  //
	Success  Status = "success"  // of the last run
	Error    Status = "error"    // of the last run
	Disabled Status = "disabled" // by a person, or because it is gone for good
)

// Source is where documents come from.
type Source struct {
	ID      int64
	Project tenant.Project
	Draft

	Status    Status
	LastRun   time.Time // when it began; zero before the first
	LastGood  time.Time
	LastError string
	Documents int64     // that were taken, since the beginning
	Faults    int       // runs that failed one after the other
	NextRun   time.Time // zero: not by itself
	Parked    time.Time // since when it is left alone, after MostFaults; zero: it is not
	Sealed    []byte    // credentials, as they are kept; nil without
	State     json.RawMessage
	Job       uuid.UUID // of the latest run
	Version   int64     // raised with every change, from 1
	CreatedBy string    // principal
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Draft is what people say of a source.
type Draft struct {
	Kind     Kind
	Name     string
	URL      string
	Path     string
	Schedule string // cron, in UTC; "" as often as fits the kind
	Priority int    // 1 to 10, the highest first
	Enabled  bool
	Config   Config
}

// Config is what a source is told beyond its place. Each kind reads its own
// fields, and those of all.
type Config struct {
	// Of all kinds.
	Collection string `json:"collection,omitempty"`
	Category   string `json:"category,omitempty"`      // the source's name when empty
	Technology int64  `json:"technology_id,omitempty"` // of the project's
	Language   string `json:"language,omitempty"`      // of the texts, as ISO 639-1 has it
	MaxItems   int    `json:"max_items,omitempty"`     // that one run takes; 0 is as many as the kind allows

	// Of feeds.
	FullText bool `json:"full_text,omitempty"` // read the page of each entry, of which the feed may have a summary only

	// Of sites.
	MaxDepth int `json:"max_depth,omitempty"` // links that are followed from the first page; 0 is 5

	// Of Hacker News.
	Keywords    []string `json:"keywords,omitempty"` // any of which a story names
	MinPoints   int      `json:"min_points,omitempty"`
	MinComments int      `json:"min_comments,omitempty"`

	// Of folders: globs, of a path or, without a slash, of a name.
	Patterns []string `json:"patterns,omitempty"` // files that are read; those of texts when there are none
	Ignore   []string `json:"ignore,omitempty"`   // that are left out
}

// Credentials are what a source is asked with. They are kept sealed, and shown to
// nobody.
type Credentials struct {
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	Token    string `json:"token,omitempty"` // sent as a bearer's
}

// None reports whether there are none.
func (c Credentials) None() bool { return c == Credentials{} }

// Document is one document as a source has it.
type Document struct {
	Key  string // what the source calls it: a guid, an address, a path
	Mark string // by which the source tells whether it has changed
	// Place is the name under which it is kept. The same document has the same one
	// whichever source it is seen through.
	Place       string
	URL         string // for people; may be ""
	Title       string
	Author      string
	Published   time.Time // zero when the source does not say
	ContentType string
	Typed       bool // ContentType is right, whatever Place looks like
	Content     []byte
}

// Outcome is what became of a document.
type Outcome string

// The outcomes.
const (
	Taken     Outcome = "taken"     // new, or with another content
	Unchanged Outcome = "unchanged" //
	Elsewhere Outcome = "elsewhere" // another source has it
)

// Counts are those of a run.
type Counts struct {
	Seen      int   `json:"seen"`
	Taken     int   `json:"taken"`
	Unchanged int   `json:"unchanged"`
	Elsewhere int   `json:"elsewhere"`
	Gone      int   `json:"gone"`
	Failed    int   `json:"failed"` // documents that could not be read
	Bytes     int64 `json:"bytes"`  // that were fetched
}

func (c *Counts) add(o Outcome) {
	c.Seen++
	switch o {
	case Taken:
		c.Taken++
	case Unchanged:
		c.Unchanged++
	case Elsewhere:
		c.Elsewhere++
	}
}

// Run is one time at which a source was asked.
type Run struct {
	ID         uuid.UUID // of its job
	Source     int64
	Trigger    string // schedule, manual or change
	By         string // principal
	State      string // queued, running, done, failed
	StartedAt  time.Time
	FinishedAt time.Time
	Counts     Counts
	Total      int    // of documents, 0 while unknown
	Doing      string // at the moment
	Note       string // what else there is to say: not modified, moved
	Error      string
}

// The triggers of runs.
const (
	BySchedule = "schedule"
	ByHand     = "manual"
	ByChange   = "change"
)

// The states of runs.
const (
	RunQueued  = "queued"
	RunRunning = "running"
	RunDone    = "done"
	RunFailed  = "failed"
)

// Visit is what a kind is given to fetch a source.
type Visit struct {
	Source      Source
	Credentials Credentials
	// Mark is that of the document of a key when it was taken last; "" when it was not.
	Mark func(key string) string
	// Known are the keys of all documents that were taken.
	Known func() []string
	// Same notes that the documents of some keys are as they were.
	Same func(ctx context.Context, keys ...string) error
	// Take takes a document.
	Take func(ctx context.Context, d Document) error
	// Failed notes that a document could not be read, and why. The visit goes on.
	Failed func(key string, why error)
	// Tell says how far the visit is.
	Tell func(done, total int, doing string)
}

// Report is what a kind found out by a visit.
type Report struct {
	State json.RawMessage // for the next visit
	Moved string          // the address that the source has now, for good; "" as it was
	Gone  bool            // it will not come back
	After time.Time       // not before is it to be asked again; zero whenever
	Every time.Duration   // as it says of itself; 0 when it does not
	// Shift puts off a time at which the source does not want to be asked; may be nil.
	Shift  func(t time.Time) time.Time
	Bytes  int64
	Note   string
	Whole  bool // what was not seen is not there any more
	Hollow bool // nothing was looked at: it says that nothing has changed
}

// Kinds fetch sources, each its own.
type Kinds map[Kind]func(ctx context.Context, v Visit) (Report, error)

// Bounds of what is kept of a project.
const (
	MaxPerProject = 1000
	MaxDocuments  = 200_000 // of all sources of a project
	MaxContent    = 20 << 20
	KeptRuns      = 200 // of each source
)

// MostFaults is how many runs fail one after the other before a source is left
// alone until somebody runs or changes it.
const MostFaults = 10

// The refusals.
var (
	ErrNotFound = errs.New(errs.NotFound, "source not found")
	ErrMany     = errs.Newf(errs.Conflict, "a project has at most %d sources: remove some first", MaxPerProject)
	ErrDisabled = errs.New(errs.Malformed, "the source is disabled: enable it first")
	ErrExists   = errs.New(errs.Conflict, "the project has a source of this kind and place already")
	ErrFull     = errs.Newf(errs.Conflict, "the project has %d documents of sources, and takes no more", MaxDocuments)
)

// RetryAfter is a failure for which a source says when to come again.
type RetryAfter struct {
	Err error
	At  time.Time
}

// Error says what failed.
func (r *RetryAfter) Error() string { return r.Err.Error() }

// Unwrap is what failed.
func (r *RetryAfter) Unwrap() error { return r.Err }
