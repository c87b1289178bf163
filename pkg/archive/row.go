package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// object is which one, and named how large it is and how many rows name it.
type (
	object struct {
		service string
		sum     [sha256.Size]byte
	}
	named struct{ size, rows int64 }
)

// row checks what the format itself says of a row, and asks the visitor for more.
func (x *reader) row(service, table string, line []byte) error {
	if line[0] != '{' || !json.Valid(line) {
		return errs.New(errs.Invalid, "it is no JSON object")
	}
	if x.count++; x.b.Rows > 0 && x.count > x.b.Rows {
		return errs.Newf(errs.TooLarge, "there are more than %d rows", x.b.Rows)
	}
	var r struct {
		Project json.RawMessage `json:"project_id"`
		Sum     json.RawMessage `json:"sha256"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "it cannot be read")
	}
	if r.Project != nil && string(r.Project) != strconv.FormatInt(x.c.Head.ProjectID, 10) {
		return errs.Newf(errs.Invalid, "it is of project %.20s, and the archive of project %d", r.Project, x.c.Head.ProjectID)
	}
	if r.Sum != nil {
		if err := x.name(service, r.Sum); err != nil {
			return err
		}
	}
	if x.v.Row == nil {
		return nil
	}
	return x.v.Row(service, table, line)
}

// name counts a row that names an object: what is kept once is worked on as often
// as it is named.
func (x *reader) name(service string, said json.RawMessage) error {
	var text string
	at := object{service: service}
	if err := json.Unmarshal(said, &text); err != nil || len(text) != hex.EncodedLen(sha256.Size) || text != strings.ToLower(text) {
		return errs.New(errs.Invalid, "its sha256 is none")
	}
	if _, err := hex.Decode(at.sum[:], []byte(text)); err != nil {
		return errs.New(errs.Invalid, "its sha256 is none")
	}
	o := x.kept[at]
	if o == nil {
		return errs.Newf(errs.Invalid, "no object %s stands before it", text)
	}
	if o.rows++; x.b.Naming > 0 && o.rows > x.b.Naming {
		return errs.Newf(errs.TooLarge, "more than %d rows name the object %s", x.b.Naming, text)
	}
	if x.naming += o.size; x.naming > x.b.Bytes {
		return errs.Newf(errs.TooLarge, "the objects that rows name have more than %d bytes, each as often as it is named", x.b.Bytes)
	}
	return nil
}
