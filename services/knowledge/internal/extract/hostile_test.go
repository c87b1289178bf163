package extract_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"mime/multipart"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// extracted is how much text a document gave, or how it was refused.
func extracted(t *testing.T, k extract.Kind, data []byte) (bytes int, err error) {
	t.Helper()
	x, err := extract.NewReader(extract.Config{}).Extract(t.Context(), extract.Format{Kind: k}, "a", data)
	if err != nil {
		return 0, err
	}
	for _, b := range x.Blocks {
		bytes += len(b.Text)
	}
	return bytes, nil
}

// message is a message with attachments.
func message(t testing.TB, text string, attached map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	fmt.Fprintf(&b, "From: a@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", m.Boundary())
	part := func(head textproto.MIMEHeader, body []byte) {
		w, err := m.CreatePart(head)
		if err == nil {
			_, err = w.Write(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	part(textproto.MIMEHeader{"Content-Type": {"text/plain"}}, []byte(text))
	for _, name := range slices.Sorted(maps.Keys(attached)) {
		part(textproto.MIMEHeader{
			"Content-Type": {"application/octet-stream"}, "Content-Transfer-Encoding": {"base64"}, "Content-Disposition": {"attachment; filename=" + name},
		}, []byte(base64.StdEncoding.EncodeToString(attached[name])))
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// nested is a message of groups within groups, none of which has an end.
func nested(depth int) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@b.c\r\nSubject: x\r\nMIME-Version: 1.0\r\n")
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\r\n\r\nhello\r\n")
	return b.Bytes()
}

func TestGroupsOfPartsWithoutAnEndCostNoMoreTheDeeperTheyAre(t *testing.T) {
	t.Parallel()
	if n, err := extracted(t, extract.Mail, nested(3)); err != nil || n == 0 {
		t.Errorf("three groups: %d bytes, %v", n, err)
	}
	for _, depth := range []int{25, 1000, 100_000} { // doubled with each, before
		if _, err := extracted(t, extract.Mail, nested(depth)); errs.KindOf(err) != errs.TooLarge {
			t.Errorf("%d groups: %v", depth, err)
		}
	}
	var many bytes.Buffer
	many.WriteString("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for range 5000 {
		many.WriteString("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n")
	}
	many.WriteString("--b--\r\n")
	if _, err := extracted(t, extract.Mail, many.Bytes()); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("5,000 parts: %v", err)
	}
}

func TestOneLongRowDoesNotMakeAllOthersAsLong(t *testing.T) {
	t.Parallel()
	row := "<w:tr>" + strings.Repeat("<w:tc/>", 30_000) + "<w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr>"
	rows := strings.Repeat("<w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr>", 6000)
	n, err := extracted(t, extract.Word, wordDocument(t, "<w:tbl>"+row+rows+"</w:tbl>"))
	if err != nil || n > 1<<20 {
		t.Errorf("%d bytes of text, %v", n, err)
	}
}

func TestOneTagIsNoLongerThanAParserMayKeep(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	noise := uint32(1)
	for b.Len() < 8<<20 { // of little regularity, so that it is not refused for its ratio
		noise = noise*1664525 + 1013904223
		b.WriteByte('a' + byte(noise>>28))
		b.WriteByte(' ')
	}
	if _, err := extracted(t, extract.Word, wordDocument(t, "<w:p "+b.String()+"></w:p>")); errs.KindOf(err) != errs.TooLarge {
		t.Error(err)
	}
}

// workbook is a workbook of one sheet.
func workbook(t testing.TB, sheet, shared, styles string) []byte {
	t.Helper()
	const head = `<?xml version="1.0" encoding="UTF-8"?>`
	const main = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"`
	const types = "application/vnd.openxmlformats-officedocument.spreadsheetml."
	const rels = `xmlns="http://schemas.openxmlformats.org/package/2006/relationships"`
	const rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
	return zipped(t,
		"[Content_Types].xml", head+`<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`+
			`<Override PartName="/xl/workbook.xml" ContentType="`+types+`sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="`+types+`worksheet+xml"/>`+
			`<Override PartName="/xl/sharedStrings.xml" ContentType="`+types+`sharedStrings+xml"/><Override PartName="/xl/styles.xml" ContentType="`+types+`styles+xml"/></Types>`,
		"_rels/.rels", head+`<Relationships `+rels+`><Relationship Id="rId1" Type="`+rel+`officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml", head+`<workbook `+main+` xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels", head+`<Relationships `+rels+`><Relationship Id="rId1" Type="`+rel+`worksheet" Target="worksheets/sheet1.xml"/>`+
			`<Relationship Id="rId2" Type="`+rel+`sharedStrings" Target="sharedStrings.xml"/><Relationship Id="rId3" Type="`+rel+`styles" Target="styles.xml"/></Relationships>`,
		"xl/sharedStrings.xml", head+`<sst `+main+`>`+shared+`</sst>`,
		"xl/styles.xml", head+`<styleSheet `+main+`>`+styles+`</styleSheet>`,
		"xl/worksheets/sheet1.xml", head+`<worksheet `+main+`><sheetData>`+sheet+`</sheetData></worksheet>`)
}

func TestATextThatCellsShareCountsForEachOfThem(t *testing.T) {
	t.Parallel()
	cells := func(n int) string {
		return `<row r="1">` + strings.Repeat(`<c t="s"><v>0</v></c>`, n) + `</row>`
	}
	shared := `<si><t>` + strings.Repeat("ab cd", 4000) + `</t></si>`
	if n, err := extracted(t, extract.Sheet, workbook(t, cells(10), shared, "")); err != nil || n < 200_000 {
		t.Errorf("ten cells: %d bytes, %v", n, err)
	}
	if _, err := extracted(t, extract.Sheet, workbook(t, cells(16_000), shared, "")); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("16,000 cells: %v", err)
	}
	format := `<numFmts count="1"><numFmt numFmtId="164" formatCode="&quot;` + strings.Repeat("x", 1<<16) + `&quot;"/></numFmts>`
	if _, err := extracted(t, extract.Sheet, workbook(t, `<row r="1"><c s="1"><v>1</v></c></row>`, shared, format)); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("a format: %v", err)
	}
}

func TestAnArchiveOfManyFilesIsRefusedBeforeItIsOpened(t *testing.T) {
	t.Parallel()
	var parts []string
	for i := range 25_000 {
		parts = append(parts, fmt.Sprintf("p%d", i), "")
	}
	data := zipped(t, append(parts, "word/document.xml", "<document/>")...)
	if _, err := extracted(t, extract.Word, data); errs.KindOf(err) != errs.TooLarge {
		t.Error(err)
	}
	if f, err := extract.Detect("a.docx", "", data); err == nil && f.Kind == extract.Word {
		t.Error("it was opened to see what it is")
	}
}

func TestAMessageIsReadWhateverIsAttachedToIt(t *testing.T) {
	t.Parallel()
	bomb := wordDocument(t, "<w:p><w:r><w:t>"+strings.Repeat("a", 40<<20)+"</w:t></w:r></w:p>")
	mail := message(t, "The quarterly figures.", map[string][]byte{"bomb.docx": bomb, "scan.pdf": pdfOf(page{}), "broken.xlsx": []byte("PK\x03\x04 not"), "note.txt": []byte("A note.")})
	x, err := reader.Extract(t.Context(), extract.Format{Kind: extract.Mail}, "a.eml", mail)
	if err != nil {
		t.Fatal(err)
	}
	text := shape(x)
	for _, want := range []string{"The quarterly figures.", "bomb.docx", "scan.pdf", "broken.xlsx", "A note."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestAttachmentsShareTheBoundsOfTheirMessage(t *testing.T) {
	t.Parallel()
	attached := map[string][]byte{}
	for i := range 9 { // of 8 MiB each, more than the 64 that a document may hold
		attached[fmt.Sprintf("%d.txt", i)] = bytes.Repeat([]byte("lorem ipsum dolor sit amet\n"), (8<<20)/27)
	}
	n, err := extracted(t, extract.Mail, message(t, "x", attached))
	if err != nil || n > 64<<20 {
		t.Errorf("%d MiB of text, %v", n>>20, err)
	}
}

func TestAPageIsDrawnWithinBoundsWhateverSizeItSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ocr := filepath.Join(dir, "ocr")
	if err := os.WriteFile(ocr, []byte("#!/bin/sh\nhead -c 24 | tail -c 8 | od -An -tu1\n"), 0o700); err != nil { //nolint:gosec // G306: it is run
		t.Fatal(err)
	}
	huge := bytes.Replace(pdfOf(page{}), []byte("[0 0 600 800]"), []byte("[0 0 14400 14400]"), 1)
	r := extract.NewReader(extract.Config{OCR: ocr})
	r.ShareSandbox(reader)
	x, err := r.Extract(t.Context(), extract.Format{Kind: extract.PDF}, "a.pdf", huge)
	if err != nil {
		t.Fatal(err)
	}
	var w, h [4]int
	if _, err := fmt.Sscan(strings.TrimSpace(x.Blocks[0].Text), &w[0], &w[1], &w[2], &w[3], &h[0], &h[1], &h[2], &h[3]); err != nil {
		t.Fatal(err, shape(x))
	}
	if pixels := (w[2]<<8 | w[3] | w[1]<<16) * (h[2]<<8 | h[3] | h[1]<<16); pixels == 0 || pixels > 26_000_000 {
		t.Errorf("%d pixels", pixels)
	}
}
