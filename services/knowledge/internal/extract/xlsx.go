package extract

import (
	"bytes"
	"context"
	"fmt"

	"github.com/xuri/excelize/v2"
)

// maxCells bounds how many cells of a workbook are read.
const maxCells = 5_000_000

// sheets reads a SpreadsheetML workbook: each sheet that is not hidden is a
// heading and a table, its cells as they are shown.
func (t *Text) sheets(ctx context.Context, data []byte) error {
	a, err := openArchive(ctx, t.Format, data) // the bounds of the archive hold here too
	if err != nil {
		return err
	}
	if t.Title, err = a.title(); err != nil {
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
	cells := 0
	for _, name := range book.GetSheetList() {
		if visible, err := book.GetSheetVisible(name); err == nil && !visible {
			continue
		}
		g, err := sheet(ctx, book, name, &cells)
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
func sheet(ctx context.Context, book *excelize.File, name string, cells *int) (*grid, error) {
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
		if *cells += len(row); *cells > maxCells || g.size > maxText {
			return nil, tooMuch(fmt.Sprintf("%d cells", maxCells))
		}
		g.row(row)
	}
	if err := rows.Error(); err != nil {
		return nil, damaged(Format{Kind: Sheet}, err)
	}
	return g, nil
}
