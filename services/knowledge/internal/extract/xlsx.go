package extract

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

const (
	maxCells  = 5_000_000 // cells of a document's workbooks that are read
	maxFormat = 1 << 10   // bytes of one number format, which each cell repeats
)

// sheets reads a SpreadsheetML workbook: each sheet that is not hidden is a
// heading and a table, its cells as they are shown.
func (t *Text) sheets(ctx context.Context, data []byte) error {
	a, err := openArchive(t.Format, data, t.left) // the bounds of the archive hold here too
	if err != nil {
		return err
	}
	if t.Title, err = a.title(ctx); err != nil {
		return err
	}
	if err := a.weigh(ctx); err != nil {
		return err
	}
	if err := a.fits(); err != nil {
		return err
	}
	book, err := excelize.OpenReader(&cancellable{ctx: ctx, r: bytes.NewReader(data)},
		excelize.Options{UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxUnpacked})
	if err != nil {
		return damaged(t.Format, err)
	}
	defer book.Close() //nolint:errcheck // holds nothing but memory: no part is larger than what is unpacked there
	for _, name := range book.GetSheetList() {
		if visible, err := book.GetSheetVisible(name); err == nil && !visible {
			continue
		}
		g, err := t.sheet(ctx, book, name)
		if err != nil {
			return err
		}
		if len(g.rows) == 0 {
			continue
		}
		path := []string{name}
		t.add(Heading, name, path, 0)
		t.add(Table, g.String(), path, 0)
	}
	return nil
}

// sheet reads the cells of a sheet; of a sheet of charts there are none.
func (t *Text) sheet(ctx context.Context, book *excelize.File, name string) (*grid, error) {
	g := &grid{}
	rows, err := book.Rows(name)
	if err != nil {
		return g, nil //nolint:nilerr // a chart
	}
	defer rows.Close() //nolint:errcheck // of a reader over memory
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row, err := rows.Columns()
		if err != nil {
			return nil, damaged(Format{Kind: Sheet}, err)
		}
		if t.left.cells -= len(row); t.left.cells < 0 {
			return nil, tooMuch(fmt.Sprintf("%d cells", maxCells))
		}
		if g.row(row); g.size > t.left.text {
			return nil, t.left.keep(g.size)
		}
	}
	if err := rows.Error(); err != nil {
		return nil, damaged(Format{Kind: Sheet}, err)
	}
	return g, nil
}

// weigh walks what the library is about to read, which keeps whole parts and whole
// rows in memory before anybody can ask how large they are: a few bytes of a cell
// name a shared text, or a format, of any length.
func (a *archive) weigh(ctx context.Context) error {
	before := a.left.unpacked // the library unpacks them once more
	defer func() { a.left.unpacked = before }()
	shared, err := a.sharedTexts(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.parts)) {
		if !strings.HasPrefix(name, "xl/") || !strings.HasSuffix(name, ".xml") || strings.HasSuffix(name, "/sharedstrings.xml") {
			continue
		}
		if err := a.weighPart(ctx, name, shared); err != nil {
			return err
		}
	}
	return nil
}

// sharedTexts are the lengths of the texts that cells share, in bytes.
func (a *archive) sharedTexts(ctx context.Context) ([]int, error) {
	var lengths []int
	err := a.optional(ctx, "xl/sharedStrings.xml", func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			if t.Name.Local == "si" {
				lengths = append(lengths, 0)
			}
		case xml.CharData:
			if n := len(lengths) - 1; n >= 0 {
				lengths[n] += len(t)
			}
		}
		return nil
	})
	return lengths, err
}

// weighPart sums what the cells of a sheet will be as text, and looks at the
// formats of numbers.
func (a *archive) weighPart(ctx context.Context, name string, shared []int) error {
	sum, isShared, inValue := 0, false, false
	var value []byte
	return a.part(ctx, name, func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "c":
				isShared = attribute(t, "t") == "s"
			case "v":
				inValue, value = true, value[:0]
			case "numFmt":
				if len(attribute(t, "formatCode")) > maxFormat {
					return tooMuch(fmt.Sprintf("a number format of more than %d bytes", maxFormat))
				}
			}
		case xml.CharData:
			if inValue {
				value = append(value, t[:min(len(t), 16)]...)
			}
			sum += len(t)
		case xml.EndElement:
			if t.Name.Local != "v" {
				return nil
			}
			inValue = false
			if i, err := strconv.Atoi(string(value)); isShared && err == nil && i >= 0 && i < len(shared) {
				sum += shared[i]
			}
		}
		if sum > a.left.text {
			return a.left.keep(sum)
		}
		return nil
	})
}
