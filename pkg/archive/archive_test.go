package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

var bounds = archive.Bounds{Bytes: 1 << 20, Object: 64 << 10, Members: 100}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func head() archive.Head {
	return archive.Head{Product: "1.0.0", ProjectID: 7, Project: "Apollo", Services: map[string]archive.Schemas{"books": {Own: 2, Common: 7}}}
}

// whole is an archive with two rows and an object.
func whole(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, head())
	if err == nil {
		err = errors.Join(
			w.Object("books", sum("the bytes"), 9, strings.NewReader("the bytes")),
			w.Rows("books", "volumes", []byte("{\"a\":1}\n{\"a\":2}\n")), w.Rows("books", "volumes", []byte("{\"a\":3}\n")))
		w.Table("books", "shelves")
		w.LeaveOut("books", map[string]string{"drafts": "nobody wants them"})
		err = errors.Join(err, w.Flush(), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type member struct {
	name, text string
	header     tar.Header
}

// pack makes a file of members as they are given.
func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, m := range members {
		h := m.header
		h.Name, h.Mode = m.name, 0o644
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(m.text))
		}
		err := w.WriteHeader(&h)
		if err == nil && h.Typeflag == tar.TypeReg {
			_, err = w.Write([]byte(m.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// members unpacks an archive, so that a test can change it.
func members(t testing.TB, data []byte) (out []member) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		var text []byte
		if err == nil {
			text, err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, member{name: h.Name, text: string(text)})
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	var got []string
	c, err := archive.Read(iotest.OneByteReader(bytes.NewReader(whole(t))), bounds, archive.Visitor{
		Head: func(h archive.Head) error { got = append(got, h.Project); return nil },
		Rows: func(service, table string, _ int, lines []byte) error {
			got = append(got, service+"."+table+" "+string(lines))
			return nil
		},
		Object: func(service, sum string, size int64, r io.Reader) error {
			text, err := io.ReadAll(r)
			got = append(got, fmt.Sprint(service, " ", sum[:4], " ", size, " ", string(text)))
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Apollo", "books " + sum("the bytes")[:4] + " 9 the bytes", "books.volumes {\"a\":1}\n{\"a\":2}\n", "books.volumes {\"a\":3}\n"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("read %q, want %q", got, want)
	}
	if c.Manifest.Rows["books"]["volumes"] != 3 || c.Manifest.Objects != 1 || c.Manifest.LeftOut["books"]["drafts"] == "" || c.Manifest.Secrets != archive.NoSecrets {
		t.Errorf("manifest %+v", c.Manifest)
	}
}

func TestManyMembersHaveSeveralFilesOfSums(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, head())
	for range 11_000 {
		if err == nil {
			err = w.Rows("books", "volumes", []byte("{}\n"))
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := archive.Read(&b, archive.Bounds{Bytes: 10 << 20, Members: 12_000}, archive.Visitor{})
	if err != nil || len(c.Manifest.Sums) != 3 || c.Manifest.Rows["books"]["volumes"] != 11_000 {
		t.Errorf("%d sums, %v", len(c.Manifest.Sums), err)
	}
}

func TestEveryDamagedByteIsNoticed(t *testing.T) {
	t.Parallel()
	data := whole(t)
	for i := 10; i < len(data); i++ { // the first ten are gzip's header, some of which means nothing
		bad := bytes.Clone(data)
		bad[i] ^= 0x20
		var rows string
		_, err := archive.Read(bytes.NewReader(bad), bounds, archive.Visitor{Rows: func(_, _ string, _ int, lines []byte) error {
			rows += string(lines)
			return nil
		}})
		// Some bits of a compressed file are padding.
		if err == nil && rows != "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n" {
			t.Fatalf("byte %d may be another", i)
		}
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	t.Parallel()
	data := whole(t)
	for i := range data {
		_, err := archive.Read(bytes.NewReader(data[:i]), bounds, archive.Visitor{})
		if errs.KindOf(err) != errs.Invalid {
			t.Fatalf("cut at byte %d of %d: %v", i, len(data), err)
		}
	}
}

func TestWhatNoWriterWritesIsRefused(t *testing.T) {
	t.Parallel()
	good := members(t, whole(t))
	change := func(i int, m member) []member {
		out := append([]member{}, good...)
		out[i] = m
		return out
	}
	plus := func(at int, m member) []member {
		return append(append(append([]member{}, good[:at]...), m), good[at:]...)
	}
	bomb := archive.Bounds{Bytes: 30, Object: 64 << 10, Members: 100}
	for name, c := range map[string]struct {
		members []member
		bounds  archive.Bounds
		want    string
	}{
		"another object":      {change(1, member{name: good[1].name, text: "the bites"}), bounds, "is damaged"},
		"another row":         {change(2, member{name: good[2].name, text: "{\"a\":9}\n{\"a\":2}\n"}), bounds, "books/volumes/000001.ndjson is damaged"},
		"a row less":          {append(append([]member{}, good[:3]...), good[4:]...), bounds, "does not name"},
		"no rows' object":     {change(2, member{name: good[2].name, text: "[1]\n"}), bounds, "no JSON object"},
		"no line":             {change(2, member{name: good[2].name, text: "{}"}), bounds, "end with a line"},
		"a way out":           {plus(1, member{name: "../../etc/passwd", text: "x"}), bounds, "no name of a member"},
		"a way out by name":   {plus(1, member{name: "books/../000001.ndjson", text: "{}\n"}), bounds, "no name of a member"},
		"an absolute name":    {plus(1, member{name: "/books/volumes/000001.ndjson", text: "{}\n"}), bounds, "no name of a member"},
		"a link":              {plus(1, member{name: "books/volumes/000001.ndjson", header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}), bounds, "no plain file"},
		"a folder":            {plus(1, member{name: "books/", header: tar.Header{Typeflag: tar.TypeDir}}), bounds, "no plain file"},
		"records":             {plus(1, member{name: "books/volumes/000001.ndjson", text: "{}\n", header: tar.Header{Typeflag: tar.TypeReg, Size: 3, PAXRecords: map[string]string{"A.b": "c"}}}), bounds, "no plain file"},
		"another service":     {plus(1, member{name: "films/volumes/000001.ndjson", text: "{}\n"}), bounds, "which its head does not name"},
		"a part twice":        {plus(3, good[2]), bounds, "where part 2 is expected"},
		"sums twice":          {plus(5, good[4]), bounds, "where part 2 is expected"},
		"two heads":           {plus(1, good[0]), bounds, "two heads"},
		"no head":             {good[1:], bounds, "does not begin with head.json"},
		"something behind":    {append(append([]member{}, good...), good[1]), bounds, "follows the manifest"},
		"no manifest":         {good[:5], bounds, "before its manifest"},
		"no sums":             {append(append([]member{}, good[:4]...), good[5]), bounds, "no sums"},
		"another format":      {change(0, member{name: "head.json", text: `{"format":"holiday","version":1}`}), bounds, "none of a project's"},
		"a newer version":     {change(0, member{name: "head.json", text: `{"format":"commandcenter-project","version":9,"product":"7.0","services":4}`}), bounds, "version 9 of the format, made by \"7.0\""},
		"another head":        {change(0, member{name: "head.json", text: strings.Replace(good[0].text, "Apollo", "Gemini", 1)}), bounds, "head.json is damaged"},
		"another count":       {change(5, member{name: "manifest.json", text: strings.Replace(good[5].text, `"volumes": 3`, `"volumes": 4`, 1)}), bounds, "counts 4 rows"},
		"other sums":          {change(5, member{name: "manifest.json", text: strings.Replace(good[5].text, `"sums_sha256": [`, `"sums_sha256": ["",`, 1)}), bounds, "names other sums"},
		"an unread manifest":  {change(5, member{name: "manifest.json", text: "{"}), bounds, "manifest cannot be read"},
		"more than is taken":  {good, bomb, "more than 30 bytes"},
		"too large an object": {good, archive.Bounds{Bytes: 1 << 20, Object: 8, Members: 100}, "more than 8 bytes"},
		"too many members":    {good, archive.Bounds{Bytes: 1 << 20, Object: 64, Members: 3}, "more than 3 members"},
	} {
		_, err := archive.Read(bytes.NewReader(pack(t, c.members...)), c.bounds, archive.Visitor{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !errs.KindOf(err).Refusal() {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "no gzip": []byte("PK\x03\x04 and so on"), "two files": append(whole(t), whole(t)...),
	} {
		if _, err := archive.Read(bytes.NewReader(data), bounds, archive.Visitor{}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a small file becomes is not known before: a name that is a gigabyte long
// is never read to its end.
func TestAFileThatUnpacksToMoreThanIsTakenIsLeft(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Read(&b, archive.Bounds{Bytes: 1 << 10, Members: 10}, archive.Visitor{}); !errs.KindOf(err).Refusal() {
		t.Errorf("64 MiB of zeros: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAVisitorsErrorIsItsOwn(t *testing.T) {
	t.Parallel()
	mine := errors.New("the disk is full")
	for name, v := range map[string]archive.Visitor{
		"head":   {Head: func(archive.Head) error { return mine }},
		"row":    {Row: func(string, string, []byte) error { return mine }},
		"rows":   {Rows: func(string, string, int, []byte) error { return mine }},
		"object": {Object: func(string, string, int64, io.Reader) error { return mine }},
	} {
		if _, err := archive.Read(bytes.NewReader(whole(t)), bounds, v); !errors.Is(err, mine) || errs.KindOf(err).Refusal() {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := io.MultiReader(bytes.NewReader(whole(t)[:100]), iotest.ErrReader(mine))
	if _, err := archive.Read(broken, bounds, archive.Visitor{}); !errors.Is(err, mine) || errs.KindOf(err).Refusal() {
		t.Errorf("a store that fails: %v", err)
	}
}

// rows is an archive with two objects, and rows behind them.
func rows(t testing.TB, lines ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, head())
	if err == nil {
		err = errors.Join(w.Object("books", sum("one"), 3, strings.NewReader("one")), w.Object("books", sum("three"), 5, strings.NewReader("three")),
			w.Rows("books", "shelves", []byte("{}\n")), w.Rows("books", "volumes", []byte("{}\n")), w.Rows("books", "volumes", []byte(strings.Join(lines, "\n")+"\n")), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func naming(text string) string { return `{"sha256":"` + sum(text) + `"}` }

func TestARowIsOfItsProjectAndNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	own := archive.Bounds{Bytes: 1 << 20, Object: 64 << 10, Members: 100, Rows: 6, Naming: 3}
	one, three := naming("one"), naming("three")
	for name, c := range map[string]struct {
		lines []string
		want  string // where and why it is refused; "" when it is not
	}{
		"good":                    {[]string{`{"project_id":7}`, one, one, one}, ""},
		"two objects":             {[]string{three, one, one, three}, ""},
		"of another project":      {[]string{`{}`, `{"project_id":8}`}, "line 2: it is of project 8, and the archive of project 7"},
		"of a project as a text":  {[]string{`{"project_id":"7"}`}, `line 1: it is of project "7"`},
		"of none":                 {[]string{`{"project_id":null}`}, "line 1: it is of project null"},
		"of a project and of 7":   {[]string{`{"project_id":7,"Project_ID":8}`}, "line 1: it is of project 8"},
		"an object that is not":   {[]string{one, naming("two")}, "line 2: no object " + sum("two") + " stands before it"},
		"in capitals":             {[]string{`{"sha256":"` + strings.ToUpper(sum("one")) + `"}`}, "line 1: its sha256 is none"},
		"a short sum":             {[]string{`{"sha256":"ab"}`}, "line 1: its sha256 is none"},
		"a sum that is a number":  {[]string{`{"sha256":5}`}, "line 1: its sha256 is none"},
		"a sum of other letters":  {[]string{`{"sha256":"` + strings.Repeat("x", 64) + `"}`}, "line 1: its sha256 is none"},
		"one object too often":    {[]string{one, one, one, one}, "line 4: more than 3 rows name the object " + sum("one")},
		"more rows than is taken": {[]string{`{}`, `{}`, `{}`, `{}`, `{}`}, "line 5: there are more than 6 rows"},
		"no object":               {[]string{`{}`, `[]`}, "line 2: it is no JSON object"},
	} {
		_, err := archive.Read(bytes.NewReader(rows(t, c.lines...)), own, archive.Visitor{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !errs.KindOf(err).Refusal() || !strings.Contains(errs.As(err).Public(), "the archive is refused: books/volumes/000002.ndjson, "+c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// What is kept once is worked on as often as it is named.
	own = archive.Bounds{Bytes: 4000, Object: 64 << 10, Members: 100}
	many := slices.Repeat([]string{three}, 30)
	if _, err := archive.Read(bytes.NewReader(rows(t, many...)), own, archive.Visitor{}); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	thick := strings.Repeat("x", 1000)
	w, err := archive.NewWriter(&b, head())
	if err == nil {
		err = errors.Join(w.Object("books", sum(thick), 1000, strings.NewReader(thick)), w.Rows("books", "volumes", []byte(strings.Repeat(naming(thick)+"\n", 5))), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Read(&b, own, archive.Visitor{}); errs.KindOf(err) != errs.TooLarge || !strings.Contains(err.Error(), "line 5: the objects that rows name have more than 4000 bytes") {
		t.Errorf("one object for many: %v", err)
	}
}

func TestARowThatItsReaderRefusesIsNamed(t *testing.T) {
	t.Parallel()
	v := archive.Visitor{Row: func(service, table string, row []byte) error {
		if strings.Contains(string(row), "bad") {
			return errs.New(errs.Conflict, service+" has no "+table+" like it")
		}
		return nil
	}}
	_, err := archive.Read(bytes.NewReader(rows(t, `{}`, `{"bad":1}`)), bounds, v)
	if errs.KindOf(err) != errs.Conflict || errs.As(err).Public() != "the archive is refused: books/volumes/000002.ndjson, line 2: books has no volumes like it" {
		t.Errorf("%v", err)
	}
}

func TestAWriterRefusesWhatItWasNotPromised(t *testing.T) {
	t.Parallel()
	w, err := archive.NewWriter(io.Discard, head())
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"too short":     w.Object("books", sum("ab"), 3, strings.NewReader("ab")),
		"another sum":   w.Object("books", sum("ab"), 2, strings.NewReader("cd")),
		"rows too many": w.Rows("books", "volumes", make([]byte, archive.MaxRows+1)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(whole(f))
	f.Add(pack(f, member{name: "head.json", text: `{"format":"commandcenter-project","version":1}`}, member{name: "manifest.json", text: "{}"}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := archive.Bounds{Bytes: 64 << 10, Object: 8 << 10, Members: 50}
		var taken int64
		_, err := archive.Read(bytes.NewReader(data), b, archive.Visitor{
			Rows: func(_, _ string, _ int, lines []byte) error { taken += int64(len(lines)); return nil },
			Object: func(_, _ string, _ int64, r io.Reader) error {
				n, err := io.Copy(io.Discard, r)
				taken += n
				return err
			},
		})
		if err != nil && !errs.KindOf(err).Refusal() {
			t.Errorf("a file is at fault, and no one else: %v", err)
		}
		if taken > b.Bytes {
			t.Errorf("%d bytes were handed over, %d is the bound", taken, b.Bytes)
		}
	})
}
