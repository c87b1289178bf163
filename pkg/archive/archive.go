package archive

import (
	"fmt"
	"regexp"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Format and Version say what a file is. A reader refuses a version above its
// own.
const (
	Format  = "commandcenter-project"
	Version = 1
)

const (
	headName     = "head.json"
	manifestName = "manifest.json"
)

// MaxRows is the most bytes that one member of rows has.
const MaxRows = 8 << 20

// sumsPerPart is how many members one file of sums names.
const sumsPerPart = 5000

// Head says what an archive holds.
type Head struct {
	Format    string             `json:"format"`
	Version   int                `json:"version"`
	Product   string             `json:"product"`  // version of the program that made it
	Instance  string             `json:"instance"` // under which address it was made
	ProjectID int64              `json:"project_id"`
	Project   string             `json:"project"`
	CreatedBy string             `json:"created_by"`
	CreatedAt time.Time          `json:"created_at"`
	Services  map[string]Schemas `json:"services"`
}

// Schemas are how far the schema of a service was: its own migrations, and those
// of the tables that every service has.
type Schemas struct {
	Own    int64 `json:"own"`
	Common int64 `json:"common"`
}

// Manifest ends an archive.
type Manifest struct {
	Head    string                       `json:"head_sha256"`
	Sums    []string                     `json:"sums_sha256"`
	Rows    map[string]map[string]int64  `json:"rows"` // by service and table
	Objects int64                        `json:"objects"`
	Bytes   int64                        `json:"bytes"` // of all rows and objects
	LeftOut map[string]map[string]string `json:"left_out"`
	Secrets string                       `json:"secrets"`
}

// NoSecrets is what every manifest says of secrets.
const NoSecrets = //nolint:gosec // G101: it says that there are none
"none: keys, passwords, tokens, invitations and sealed values never leave an instance"

// Bounds of a reader.
type Bounds struct {
	Bytes   int64 // of all members together, unpacked; and of the objects that rows name, each as often as it is named
	Object  int64 // of one object
	Members int64
	Rows    int64 // of all tables; 0 is any number
	Naming  int64 // rows that name one object; 0 is any number
}

// RowsName is the name of a member of rows.
func RowsName(service, table string, part int) string {
	return fmt.Sprintf("%s/%s/%06d.ndjson", service, table, part)
}

var (
	rowsForm   = regexp.MustCompile(`^([a-z][a-z0-9_-]{0,30})/([a-z][a-z0-9_]{0,30})/(\d{6})\.ndjson$`)
	objectForm = regexp.MustCompile(`^([a-z][a-z0-9_-]{0,30})/objects/([0-9a-f]{64})$`)
	sumsForm   = regexp.MustCompile(`^sums/(\d{6})\.sha256$`)
)

// faulty is the refusal of a file.
func faulty(format string, args ...any) error {
	return errs.New(errs.Invalid, "the archive is refused: "+fmt.Errorf(format, args...).Error())
}

func excessive(format string, args ...any) error {
	return errs.New(errs.TooLarge, "the archive is refused: "+fmt.Sprintf(format, args...))
}

// total counts all rows.
func (m Manifest) total() (n int64) {
	for _, tables := range m.Rows {
		for _, rows := range tables {
			n += rows
		}
	}
	return n
}
