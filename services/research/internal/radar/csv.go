package radar

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/research/internal/sheet"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// Entry is a line of a radar's CSV.
type Entry struct {
	Title       string
	Ring        technology.Ring
	Quadrant    technology.Quadrant
	New         bool
	Description string
	Line        int // of the file, from 1
}

// MaxEntries bounds the lines of a CSV: they are taken in one transaction.
const MaxEntries = 1_000

// Over writes what the line says over d. Ring and quadrant are said only where they do
// not follow, and a text is no longer one where the line has none.
func (e Entry) Over(d *technology.Draft) {
	d.Ring, d.Quadrant = nil, nil
	if d.OnRing() != e.Ring {
		d.Ring = &e.Ring
	}
	if d.InQuadrant() != e.Quadrant {
		d.Quadrant = &e.Quadrant
	}
	if e.Description != "" {
		d.Description = &e.Description
	}
}

// CSV is the radar in the form that Thoughtworks' "build your own radar" reads: name,
// ring, quadrant, isNew, description. description tells the text of a technology.
func (r Radar) CSV(description func(id int64) string) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	lines := [][]string{{"name", "ring", "quadrant", "isNew", "description"}}
	for _, b := range r.Blips {
		lines = append(lines, []string{sheet.Inert(b.Title), string(b.Ring), Heading(b.Quadrant), strings.ToUpper(strconv.FormatBool(b.Movement == New)), sheet.Inert(description(b.ID))})
	}
	_ = w.WriteAll(lines) // a buffer takes all
	return out.Bytes()
}

// ReadCSV reads such a file, its columns in any order; ring and quadrant whatever their
// case. The error names the line at fault.
func ReadCSV(text string) ([]Entry, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		return nil, Fault(1, "has no columns")
	}
	at := map[string]int{}
	for i, name := range head {
		at[strings.ToLower(strings.TrimSpace(name))] = i
	}
	for _, need := range []string{"name", "ring", "quadrant"} {
		if _, ok := at[need]; !ok {
			return nil, Fault(1, "has no column "+need)
		}
	}
	var out []Entry
	seen := map[string]int{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			return nil, Fault(broken.StartLine, "cannot be read: "+broken.Err.Error())
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		field := func(name string) string {
			if i, ok := at[name]; ok && i < len(record) {
				return strings.TrimSpace(record[i])
			}
			return ""
		}
		e := Entry{
			Title: sheet.Live(field("name")), Ring: technology.Ring(strings.ToLower(field("ring"))), Quadrant: quadrant(field("quadrant")),
			New: strings.EqualFold(field("isnew"), "true"), Description: sheet.Live(field("description")), Line: line,
		}
		switch {
		case e.Title == "":
			return nil, Fault(line, "has no name")
		case !slices.Contains(technology.Rings, e.Ring):
			return nil, Fault(line, fmt.Sprintf("has ring %.40q, and the rings are adopt, trial, assess and hold", field("ring")))
		case e.Quadrant == "":
			return nil, Fault(line, fmt.Sprintf("has quadrant %.60q, and the quadrants are Techniques, Tools, Platforms and Languages & Frameworks", field("quadrant")))
		case seen[strings.ToLower(e.Title)] > 0:
			return nil, Fault(line, fmt.Sprintf("names %.60q, as line %d does", e.Title, seen[strings.ToLower(e.Title)]))
		case len(out) == MaxEntries:
			return nil, Fault(line, fmt.Sprintf("is one more than %d technologies", MaxEntries))
		}
		seen[strings.ToLower(e.Title)] = line
		out = append(out, e)
	}
}

// quadrant reads how people write them: "Languages & Frameworks", "languages-and-frameworks".
func quadrant(s string) technology.Quadrant {
	s = strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(s), "&", "and"), " ", "-")
	if q := technology.Quadrant(s); slices.Contains(technology.Quadrants, q) {
		return q
	}
	return ""
}

// Fault says what is wrong with a line.
func Fault(line int, what string) error {
	return errs.InvalidField("csv", fmt.Sprintf("line %d of the CSV %s", line, what), "body", "csv")
}
