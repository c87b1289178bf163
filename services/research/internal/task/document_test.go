package task_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

func TestADocumentHasANameAndNoPath(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"a.md": "a.md", "../../etc/a b.TXT": "a b.TXT", `C:\temp\Größe.pdf`: "Größe.pdf", "/a/": "", "": "", "..": "", "a": "", "a.html": "", "a.svg": "", "a.exe": "", "a\x00.md": "", "a\u202efdp.md": "",
		strings.Repeat("x", 256) + ".md": "", "a\xff.md": "", "a.pdf.exe": "",
	} {
		d, err := task.Named(given)
		if (err != nil) != (want == "") || err == nil && d.Filename != want {
			t.Errorf("%q: %+v, %v", given, d, err)
		}
	}
}

// packed is a package as Word writes one, with a part of this name behind much else.
func packed(t *testing.T, part string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"[Content_Types].xml", "other", part} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), 65_500)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheBytesOfADocumentAreWhatItsNameSays(t *testing.T) {
	t.Parallel()
	const pdf, png, jpeg, page = "%PDF-1.7\n", "\x89PNG\r\n\x1a\nx", "\xff\xd8\xff\xe0x", "<html><script>"
	for _, c := range []struct {
		name, content string
		ok            bool
	}{
		{"a.pdf", pdf, true}, {"a.pdf", page, false}, {"a.pdf", "", false}, {"a.png", png, true}, {"a.png", jpeg, false}, {"a.jpg", jpeg, true}, {"a.jpeg", png, false}, {"a.jpeg", "\xff", false},
		{"a.txt", "Größe\n\tx", true}, {"a.txt", "", true}, {"a.md", png, false}, {"a.txt", "a\x00b", false}, {"a.csv", "a,b\r\n", true}, {"a.md", "\xef\xbb\xbf# x", true}, {"a.txt", "\x1b[31m", false},
		{"a.json", `{"a":[1,2]} `, true}, {"a.json", `[]`, true}, {"a.json", `{"a":`, false}, {"a.json", "", false}, {"a.json", pdf, false},
		{"a.docx", packed(t, "word/document.xml"), true}, {"a.docx", packed(t, "xl/workbook.xml"), false}, {"a.docx", page, false},
	} {
		d, err := task.Named(c.name)
		if err != nil {
			t.Fatal(err)
		}
		for way, r := range map[string]*strings.Reader{"at once": strings.NewReader(c.content), "byte by byte": strings.NewReader(c.content)} {
			err := d.Looks(r)
			if way == "byte by byte" {
				r = strings.NewReader(c.content)
				err = d.Looks(iotest.OneByteReader(r))
			}
			if (err == nil) != c.ok || err != nil && errs.KindOf(err) != errs.Unsupported {
				t.Errorf("%s %.20q %s: %v", c.name, c.content, way, err)
			}
			if err == nil && r.Len() > 0 {
				t.Errorf("%s: %d bytes were not read, so that nobody has looked at the sum", c.name, r.Len())
			}
		}
		away := errors.New("the store is away")
		if err := d.Looks(iotest.ErrReader(away)); !errors.Is(err, away) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestADocumentOfAnArchiveIsChecked(t *testing.T) {
	t.Parallel()
	good := task.Document{ID: 1, TaskID: 2, Filename: "a.md", ContentType: "text/markdown", Size: 3}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*task.Document){
		"a path": func(d *task.Document) { d.Filename = "x/a.md" }, "another type": func(d *task.Document) { d.ContentType = "text/html" }, "no type": func(d *task.Document) { d.Filename = "a" },
		"too large": func(d *task.Document) { d.Size = task.MaxDocument + 1 }, "no id": func(d *task.Document) { d.ID = 0 }, "no task": func(d *task.Document) { d.TaskID = 0 },
	} {
		d := good
		if edit(&d); d.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
