package extract_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// reader is shared: its sandbox for PDFs starts once.
var reader = extract.NewReader(extract.Config{})

func zipped(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(parts[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	w  = `xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"`
	rt = `http://schemas.openxmlformats.org/officeDocument/2006/relationships/`
)

func wordDocument(t testing.TB, body string) []byte {
	return zipped(t,
		"word/document.xml", `<?xml version="1.0"?><w:document `+w+`><w:body>`+body+`</w:body></w:document>`,
		"word/styles.xml", `<w:styles `+w+`><w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>`+
			`<w:style w:styleId="Own"><w:name w:val="Chapter"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>`+
			`<w:style w:styleId="Dot"><w:name w:val="List Bullet"/><w:pPr><w:numPr/></w:pPr></w:style></w:styles>`,
		"word/_rels/document.xml.rels", `<Relationships><Relationship Id="r1" Type="`+rt+`header" Target="header1.xml"/>`+
			`<Relationship Id="r2" Type="`+rt+`header" Target="header2.xml"/><Relationship Id="r3" Type="`+rt+`footnotes" Target="/word/footnotes.xml"/>`+
			`<Relationship Id="r4" Type="`+rt+`header" Target="http://example.com/h.xml" TargetMode="External"/></Relationships>`,
		"word/header1.xml", `<w:hdr `+w+`><w:p><w:r><w:t>Confidential</w:t></w:r></w:p></w:hdr>`,
		"word/header2.xml", `<w:hdr `+w+`><w:p><w:r><w:t>Confidential</w:t></w:r></w:p></w:hdr>`,
		"word/footnotes.xml", `<w:footnotes `+w+`><w:footnote><w:p><w:r><w:t>see the appendix</w:t></w:r></w:p></w:footnote></w:footnotes>`,
		"docProps/core.xml", `<cp:coreProperties><dc:creator>Ann</dc:creator><dc:title>Wing report</dc:title></cp:coreProperties>`,
	)
}

func par(style, text string) string {
	p := ""
	if style != "" {
		p = `<w:pPr><w:pStyle w:val="` + style + `"/></w:pPr>`
	}
	return `<w:p>` + p + `<w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

// shape is the blocks of a text, one a line: kind, path, text.
func shape(x *extract.Text) string {
	var b strings.Builder
	for _, k := range x.Blocks {
		fmt.Fprintf(&b, "%s %v %q\n", k.Kind, k.Path, k.Text)
	}
	return b.String()
}

func read(t *testing.T, name string, data []byte) *extract.Text {
	t.Helper()
	f, err := extract.Detect(name, "", data)
	if err != nil {
		t.Fatal(err)
	}
	x, err := reader.Extract(t.Context(), f, name, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimLeft(want, "\n"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAWordDocumentKeepsItsStructureAndLosesNoWord(t *testing.T) {
	t.Parallel()
	x := read(t, "report.docx", wordDocument(t, par("H1", "Boundary layers")+
		`<w:p><w:r><w:t>The flow</w:t></w:r><w:r><w:tab/><w:t>separates.</w:t></w:r>`+
		`<w:del><w:r><w:delText>never</w:delText></w:r></w:del><w:ins><w:r><w:t> Soon.</w:t></w:r></w:ins><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>`+
		par("Own", "Details")+par("Dot", "one")+par("Dot", "two")+
		`<w:tbl><w:tr><w:tc>`+par("", "Name")+`</w:tc><w:tc>`+par("", "Value")+`</w:tc></w:tr>`+
		`<w:tr><w:tc>`+par("", "alpha")+`</w:tc><w:tc>`+par("", "1|2")+`<w:tbl><w:tr><w:tc>`+par("", "inner")+`</w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl>`+
		`<mc:AlternateContent><mc:Choice>`+par("", "in a box")+`</mc:Choice><mc:Fallback>`+par("", "in a box")+`</mc:Fallback></mc:AlternateContent>`))
	if x.Title != "Wing report" || x.Format.Kind != extract.Word {
		t.Errorf("title %q of %v", x.Title, x.Format)
	}
	same(t, shape(x), `
heading [Boundary layers] "Boundary layers"
paragraph [Boundary layers] "The flow\tseparates. Soon."
heading [Boundary layers Details] "Details"
list [Boundary layers Details] "- one\n- two"
table [Boundary layers Details] "| Name | Value |\n| --- | --- |\n| alpha | 1\\|2 inner |"
paragraph [Boundary layers Details] "in a box"
paragraph [] "see the appendix"
paragraph [] "Confidential"
`)
}

func TestAWordDocumentThatStopsInTheMiddleIsReadSoFar(t *testing.T) {
	t.Parallel()
	x := read(t, "a.docx", zipped(t, "word/document.xml", `<w:document><w:body>`+par("", "first")+`<w:tbl><w:tr><w:tc>`+par("", "cell")+`</w:tc><w:tc>`+par("", "other")))
	same(t, shape(x), "paragraph [] \"first\"\ntable [] \"| cell | other |\\n| --- | --- |\"\n")
}

func TestSlidesComeInTheOrderOfTheShowWithNotesAndTables(t *testing.T) {
	t.Parallel()
	ph := func(kind, text string) string {
		return `<p:sp><p:nvSpPr><p:nvPr><p:ph type="` + kind + `"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>` +
			strings.ReplaceAll(text, "\n", `</a:t></a:r></a:p><a:p><a:r><a:t>`) + `</a:t></a:r></a:p></p:txBody></p:sp>`
	}
	cell := func(s string) string {
		return `<a:tc><a:txBody><a:p><a:r><a:t>` + s + `</a:t></a:r></a:p></a:txBody></a:tc>`
	}
	x := read(t, "talk.pptx", zipped(t,
		"ppt/presentation.xml", `<p:presentation><p:sldIdLst><p:sldId id="256" r:id="rId2"/><p:sldId id="257" r:id="rId1"/></p:sldIdLst></p:presentation>`,
		"ppt/_rels/presentation.xml.rels", `<Relationships><Relationship Id="rId1" Type="`+rt+`slide" Target="slides/slide1.xml"/><Relationship Id="rId2" Type="`+rt+`slide" Target="slides/slide2.xml"/></Relationships>`,
		"ppt/slides/slide2.xml", `<p:sld>`+ph("ctrTitle", "Opening")+ph("body", "point one\npoint two")+ph("sldNum", "1")+`</p:sld>`,
		"ppt/slides/slide1.xml", `<p:sld><p:graphicFrame><a:tbl><a:tr>`+cell("a")+cell("b")+`</a:tr><a:tr>`+cell("c")+cell("d")+`</a:tr></a:tbl></p:graphicFrame>`+ph("body", "one line")+`</p:sld>`,
		"ppt/slides/_rels/slide2.xml.rels", `<Relationships><Relationship Id="rId1" Type="`+rt+`notesSlide" Target="../notesSlides/notesSlide1.xml"/><Relationship Id="rId2" Type="`+rt+`diagramData" Target="../diagrams/data1.xml"/></Relationships>`,
		"ppt/notesSlides/notesSlide1.xml", `<p:notes>`+ph("body", "say hello")+`</p:notes>`,
		"ppt/diagrams/data1.xml", `<dgm:dataModel><dgm:pt><dgm:t><a:p><a:r><a:t>plan</a:t></a:r></a:p></dgm:t></dgm:pt></dgm:dataModel>`,
	))
	if x.Title != "Opening" {
		t.Errorf("title %q", x.Title)
	}
	same(t, shape(x), `
heading [Opening] "Opening"
list [Opening] "point one\npoint two"
quote [Opening] "say hello"
list [Opening] "plan"
heading [Slide 2] "Slide 2"
table [Slide 2] "| a | b |\n| --- | --- |\n| c | d |"
paragraph [Slide 2] "one line"
`)
	for _, b := range x.Blocks {
		if want := 1 + strings.Count(b.Path[0], "Slide 2"); b.Page != want {
			t.Errorf("%q is on slide %d, want %d", b.Text, b.Page, want)
		}
	}
}

func TestSheetsAreTablesOfWhatIsShown(t *testing.T) {
	t.Parallel()
	book := excelize.NewFile()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(book.SetSheetName("Sheet1", "Prices"))
	check(book.SetSheetRow("Prices", "A1", &[]any{"item", "share"}))
	check(book.SetSheetRow("Prices", "A2", &[]any{"apple", 0.25}))
	percent, err := book.NewStyle(&excelize.Style{NumFmt: 9})
	check(err)
	check(book.SetCellStyle("Prices", "B2", "B2", percent))
	_, err = book.NewSheet("Hidden")
	check(err)
	check(book.SetCellStr("Hidden", "A1", "unseen"))
	check(book.SetSheetVisible("Hidden", false))
	var b bytes.Buffer
	check(book.Write(&b))
	x := read(t, "prices.xlsx", b.Bytes())
	if x.Title != "prices" {
		t.Errorf("title %q", x.Title)
	}
	same(t, shape(x), "heading [Prices] \"Prices\"\ntable [Prices] \"| item | share |\\n| --- | --- |\\n| apple | 25% |\"\n")
}

func TestAMessageIsReadWithItsAttachments(t *testing.T) {
	t.Parallel()
	inner := "From: c@example.com\r\nSubject: inner\r\n\r\nwords within\r\n"
	x := read(t, "a.eml", []byte(strings.ReplaceAll(`From: Ann <ann@example.com>
To: bob@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<h1>Hi</h1><p>na=EFve</p><script>no()</script>
--x
Content-Type: text/markdown
Content-Disposition: attachment; filename=notes.md

# Notes

attached words
--x
Content-Type: image/png
Content-Disposition: attachment; filename=plan.png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--x
Content-Type: message/rfc822
Content-Disposition: attachment; filename=mail.eml

`, "\n", "\r\n")+inner+"--x--\r\n"))
	if x.Title != "Grüße" {
		t.Errorf("title %q", x.Title)
	}
	same(t, shape(x), `
meta [] "From: Ann <ann@example.com>\nTo: bob@example.com\nSubject: Grüße"
heading [Hi] "# Hi"
paragraph [Hi] "naïve"
heading [notes.md] "notes.md"
heading [notes.md Notes] "# Notes"
paragraph [notes.md Notes] "attached words"
heading [plan.png] "plan.png"
heading [mail.eml] "mail.eml"
meta [mail.eml] "From: c@example.com\nSubject: inner"
paragraph [mail.eml] "words within"
`)
}

func TestDocumentsThatAreNotWhatTheySayAreRefused(t *testing.T) {
	t.Parallel()
	bomb := strings.Repeat("<w:p></w:p>", 1<<20)
	deep := strings.Repeat("<w:p>", 5000)
	whole := zipped(t, "word/document.xml", "<w:document><w:body><w:p><w:r><w:t>a sentence that is not the same twice</w:t></w:r></w:p></w:body></w:document>")
	changed := bytes.Clone(whole)
	for i := 60; i < 80; i++ { // within the part
		changed[i] ^= 0xff
	}
	for name, c := range map[string]struct {
		file string
		data []byte
		kind errs.Kind
		says string
	}{
		"a PDF by name":               {"a.pdf", []byte("hello"), errs.Unsupported, "not a PDF document"},
		"a Word document by name":     {"a.docx", zipped(t, "xl/workbook.xml", "<a/>"), errs.Unsupported, "not a Word document"},
		"protected by a password":     {"a.docx", []byte("\xd0\xcf\x11\xe0..."), errs.Unsupported, "password"},
		"another archive":             {"a", zipped(t, "a.txt", "x"), errs.Unsupported, "a ZIP archive"},
		"a message by name":           {"a.eml", []byte("no header here\n"), errs.Unsupported, "not an e-mail"},
		"cut off":                     {"a.docx", whole[:len(whole)/2], errs.Invalid, "a.docx is damaged or cut off, so that it cannot be read as a Word document"},
		"a workbook that is cut off":  {"b.xlsx", whole[:40], errs.Invalid, "as an Excel workbook"},
		"changed on its way":          {"a.docx", changed, errs.Invalid, "damaged"},
		"damaged XML":                 {"a.docx", zipped(t, "word/document.xml", "<w:p <<"), errs.Invalid, "damaged"},
		"a workbook without sheets":   {"a.xlsx", zipped(t, "xl/workbook.xml", "<<<"), errs.Invalid, "damaged"},
		"more than unpacks 200 times": {"a.docx", zipped(t, "word/document.xml", bomb), errs.TooLarge, "200 to 1"},
		"a workbook of that kind":     {"a.xlsx", zipped(t, "xl/workbook.xml", "<a/>", "xl/worksheets/sheet1.xml", bomb), errs.TooLarge, "200 to 1"},
		"elements without end":        {"a.docx", zipped(t, "word/document.xml", deep), errs.TooLarge, "within each other"},
		"a damaged PDF":               {"a.pdf", []byte("%PDF-1.7\nnothing"), errs.Invalid, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := extract.Detect(c.file, "", c.data)
			if err == nil {
				_, err = reader.Extract(t.Context(), f, c.file, c.data)
			}
			if errs.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%v; want %v with %q", err, c.kind, c.says)
			}
		})
	}
}

// page is text at places of a page: x, y, size, text.
type page []struct {
	x, y, size int
	text       string
}

// pdfOf writes a PDF by hand.
func pdfOf(pages ...page) []byte {
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", "<</Title(A paper)>>"}
	var kids strings.Builder
	for _, p := range pages {
		var c strings.Builder
		for _, s := range p {
			fmt.Fprintf(&c, "BT /F %d Tf %d %d Td (%s) Tj ET\n", s.size, s.x, s.y, s.text)
		}
		n := len(objects) + 1
		fmt.Fprintf(&kids, "%d 0 R ", n)
		objects = append(objects, fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>", n+1),
			fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", c.Len(), c.String()))
	}
	objects[1] = fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids.String(), len(pages))
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	at := make([]int, len(objects))
	for i, o := range objects {
		at[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return b.Bytes()
}

func TestAPDFBecomesHeadingsParagraphsAndTables(t *testing.T) {
	t.Parallel()
	x := read(t, "paper.pdf", pdfOf(page{
		{50, 700, 24, "Boundary layers"},
		{50, 660, 10, "The flow over the wing sep-"},
		{50, 648, 10, "arates from the surface."},
		{50, 600, 10, "A new paragraph."},
		{50, 560, 16, "Results"},
		{50, 530, 10, "Name"}, {200, 530, 10, "Value"},
		{50, 518, 10, "alpha"}, {200, 518, 10, "1"},
		{50, 506, 10, "beta"}, {200, 506, 10, "2"},
	}, page{{50, 700, 10, "On the second page."}}))
	if x.Title != "A paper" {
		t.Errorf("title %q", x.Title)
	}
	same(t, shape(x), `
heading [Boundary layers] "Boundary layers"
paragraph [Boundary layers] "The flow over the wing separates from the surface."
paragraph [Boundary layers] "A new paragraph."
heading [Boundary layers Results] "Results"
table [Boundary layers Results] "| Name | Value |\n| --- | --- |\n| alpha | 1 |\n| beta | 2 |"
paragraph [Boundary layers Results] "On the second page."
`)
}

func TestBlocksSayOnWhichPageOrSlideTheyBegin(t *testing.T) {
	t.Parallel()
	pages := func(x *extract.Text) (out []int) {
		for _, b := range x.Blocks {
			out = append(out, b.Page)
		}
		return out
	}
	pdf := pdfOf(page{{50, 700, 10, "one"}}, page{}, page{{50, 700, 10, "three"}, {50, 300, 10, "also three"}})
	if got := pages(read(t, "a.pdf", pdf)); !slices.Equal(got, []int{1, 3, 3}) {
		t.Errorf("blocks begin on the pages %v", got)
	}
	// What is attached to a message has pages, the message has none.
	if got := pages(read(t, "a.eml", message(t, "Read this.", map[string][]byte{"a.pdf": pdf}))); !slices.Equal(got[len(got)-4:], []int{0, 1, 3, 3}) || got[0] != 0 {
		t.Errorf("a message with an attachment: %v", got)
	}
}

func TestWhatStandsOnEveryPageOfAPDFIsReadOnce(t *testing.T) {
	t.Parallel()
	var ps []page
	for i := range 8 {
		ps = append(ps, page{
			{50, 760, 10, "Journal of Wings"}, {50, 700, 10, fmt.Sprint("begin ", strings.Repeat("x", i+1))}, {50, 600, 10, "the same words in the middle"}, {50, 500, 10, fmt.Sprintf("text %d", i)},
			{50, 400, 10, "more"}, {50, 300, 10, "and more"}, {300, 30, 10, fmt.Sprintf("page %d", i+1)},
		})
	}
	text := shape(read(t, "a.pdf", pdfOf(ps...)))
	for of, want := range map[string]int{"Journal of Wings": 1, "page ": 1, "the same words": 8, "text ": 8} {
		if n := strings.Count(text, of); n != want {
			t.Errorf("%q stands %d times, want %d", of, n, want)
		}
	}
}

func TestAPDFEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var ps []page
	for range 300 {
		ps = append(ps, page{{50, 700, 10, "some text"}})
	}
	data := pdfOf(ps...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := reader.Extract(ctx, extract.Format{Kind: extract.PDF}, "a.pdf", data)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The sandboxes still serve others.
	if x := read(t, "a.pdf", pdfOf(page{{50, 700, 10, "alive"}})); len(x.Blocks) != 1 {
		t.Errorf("got %v", x.Blocks)
	}
}

func TestPagesThatArePicturesNeedOCR(t *testing.T) {
	t.Parallel()
	data := pdfOf(page{})
	_, err := reader.Extract(t.Context(), extract.Format{Kind: extract.PDF}, "scan.pdf", data)
	if errs.KindOf(err) != errs.Unsupported || !strings.Contains(fmt.Sprint(err), "tesseract") {
		t.Errorf("got %v", err)
	}
}

func TestPagesThatArePicturesAreReadByOCR(t *testing.T) {
	t.Parallel()
	// What stands for tesseract reads a picture in PNG and answers its first line.
	ocr := filepath.Join(t.TempDir(), "ocr")
	script := "#!/bin/sh\n[ \"$*\" = 'stdin stdout -l eng+deu' ] || exit 1\nhead -c 4 | tail -c 3\necho ' is read'\necho\necho 'more'\n"
	if err := os.WriteFile(ocr, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	r := extract.NewReader(extract.Config{OCR: ocr, OCRLanguages: "eng+deu"})
	r.ShareSandbox(reader)
	x, err := r.Extract(t.Context(), extract.Format{Kind: extract.PDF}, "scan.pdf", pdfOf(page{}, page{{50, 700, 10, "printed"}}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, shape(x), "paragraph [] \"PNG is read\"\nparagraph [] \"more\"\nparagraph [] \"printed\"\n")

	r2 := extract.NewReader(extract.Config{OCR: ocr})
	r2.ShareSandbox(reader)
	if _, err := r2.Extract(t.Context(), extract.Format{Kind: extract.PDF}, "scan.pdf", pdfOf(page{})); err == nil || !strings.Contains(err.Error(), "OCR") {
		t.Errorf("an OCR that fails: %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("a.docx", wordDocument(f, par("H1", "a")+`<w:tbl><w:tr><w:tc>`+par("", "b")))
	f.Add("a.eml", []byte("From: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n--x--"))
	f.Add("a.pptx", zipped(f, "ppt/presentation.xml", `<p:sldId r:id="r"/>`, "ppt/_rels/presentation.xml.rels", `<Relationship Id="r" Type="a/slide" Target="s.xml"/>`, "ppt/s.xml", `<p:sp><a:p><a:t>x</a:t></a:p></p:sp>`))
	f.Add("a.html", []byte("<p>x"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		format, err := extract.Detect(name, "", data)
		if err != nil || format.Kind == extract.PDF { // PDFium has its own fuzzing, and a sandbox
			return
		}
		x, err := reader.Extract(t.Context(), format, name, data)
		if err != nil {
			return
		}
		for _, b := range x.Blocks {
			if strings.TrimSpace(b.Text) == "" || len(b.Path) > extract.MaxPath {
				t.Errorf("block %+v", b)
			}
		}
	})
}
