package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Visitor is handed what an archive holds, in its order. Nil functions are not
// called. An error ends the reading and is returned as it is.
//
// What is handed over has not been compared with the sums yet, which stand
// behind it: whoever acts on it has read the whole archive before, with no
// visitor, or can take back what it did.
type Visitor struct {
	Head func(h Head) error
	// Row takes one JSON object, with a line's end. A refusal of it is returned with
	// the member and the line that it is about.
	Row func(service, table string, row []byte) error
	// Rows takes all those of a member, whose number among those of its table is part.
	Rows func(service, table string, part int, lines []byte) error
	// Object reads what it wants of r; the rest is read for it.
	Object func(service, sum string, size int64, r io.Reader) error
}

// Content is what a whole and undamaged archive holds.
type Content struct {
	Head     Head     `json:"head"`
	Manifest Manifest `json:"manifest"`
	Members  int64    `json:"members"`
}

// Read reads an archive to its end and checks all of it. It refuses what is
// damaged, cut off, beyond the bounds, of a newer format, and whatever a Writer
// would not have written: links, paths, unknown names.
func Read(r io.Reader, b Bounds, v Visitor) (Content, error) {
	src := &source{r: r}
	x := &reader{b: b, v: v, parts: map[string]int{}, rows: map[string]map[string]int64{}, kept: map[object]*named{}}
	err := x.read(src)
	if src.err != nil { // not the archive's fault
		return x.c, fmt.Errorf("read the archive: %w", src.err)
	}
	return x.c, err
}

// source remembers that reading itself has failed.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

type reader struct {
	b     Bounds
	v     Visitor
	c     Content
	taken int64 // bytes of all members

	head    string          // its sum
	pending strings.Builder // lines that the next sums must be
	sums    []string
	parts   map[string]int
	rows    map[string]map[string]int64
	kept    map[object]*named
	count   int64 // rows
	naming  int64 // bytes of objects, each as often as a row names it
	objects int64
	bytes   int64
	ended   bool
	visit   error // of a visitor
}

func (x *reader) read(src io.Reader) error {
	in := bufio.NewReaderSize(src, 64<<10)
	z, err := gzip.NewReader(in)
	if err != nil {
		return faulty("it is not compressed with gzip")
	}
	z.Multistream(false)
	// What is compressed says nothing of what it becomes.
	unpacked := &bounded{r: z, left: x.b.Bytes + x.b.Members*1024 + (1 << 20)}
	t := tar.NewReader(unpacked)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = x.member(h, t)
		}
		if x.visit != nil {
			return x.visit
		}
		if err != nil {
			return told(err)
		}
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil { // its own checksum
		return told(err)
	}
	if _, err := in.ReadByte(); err == nil {
		return faulty("something follows its end")
	}
	if !x.ended {
		return faulty("it ends before its manifest")
	}
	return nil
}

// told gives the failure to read a file the words for whoever sent it.
func told(err error) error {
	var e interface{ Public() string }
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, errBound):
		return excessive("it holds more than is taken")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return faulty("it is cut off")
	}
	return faulty("it cannot be read: %v", err)
}

var errBound = errors.New("more than is taken")

// bounded fails where more comes than is taken.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBound
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

func (x *reader) member(h *tar.Header, r io.Reader) error {
	if h.Typeflag != tar.TypeReg || h.Linkname != "" || len(h.PAXRecords) > 0 || len(h.Name) > 120 {
		return faulty("%.80q is no plain file", h.Name)
	}
	if x.ended {
		return faulty("%q follows the manifest", h.Name)
	}
	if x.c.Members++; x.c.Members > x.b.Members {
		return excessive("it has more than %d members", x.b.Members)
	}
	if x.taken += h.Size; h.Size < 0 || x.taken > x.b.Bytes {
		return excessive("it holds more than %d bytes", x.b.Bytes)
	}
	if x.head == "" && h.Name != headName {
		return faulty("it does not begin with %s: this is no export of a project", headName)
	}
	if h.Name == headName {
		return x.readHead(h, r)
	}
	if h.Name == manifestName {
		return x.readManifest(h, r)
	}
	if m := sumsForm.FindStringSubmatch(h.Name); m != nil {
		return x.readSums(h, m[1], r)
	}
	if m := objectForm.FindStringSubmatch(h.Name); m != nil {
		return x.readObject(h, m[1], m[2], r)
	}
	if m := rowsForm.FindStringSubmatch(h.Name); len(m) > 0 && m[2] != "objects" {
		return x.readRows(h, m[1], m[2], m[3], r)
	}
	return faulty("%q is no name of a member", h.Name)
}

// all reads a member that is kept in memory.
func all(h *tar.Header, r io.Reader, most int64) (data []byte, sum string, err error) {
	if h.Size > most {
		return nil, "", excessive("%s has more than %d bytes", h.Name, most)
	}
	data, err = io.ReadAll(r)
	s := sha256.Sum256(data)
	return data, hex.EncodeToString(s[:]), err
}

func (x *reader) readHead(h *tar.Header, r io.Reader) error {
	if x.head != "" {
		return faulty("it has two heads")
	}
	data, sum, err := all(h, r, 1<<20)
	if err != nil {
		return err
	}
	x.head = sum
	// The version first: what else a newer one says may have another form.
	var of struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
		Product string `json:"product"`
	}
	if err := json.Unmarshal(data, &of); err != nil || of.Format != Format || of.Version < 1 {
		return faulty("its head is none of a project's export")
	}
	if of.Version > Version {
		return faulty("it has version %d of the format, made by %.40q; this program reads up to version %d", of.Version, of.Product, Version)
	}
	if err := json.Unmarshal(data, &x.c.Head); err != nil {
		return faulty("its head cannot be read")
	}
	if x.v.Head != nil {
		x.visit = x.v.Head(x.c.Head)
	}
	return x.visit
}

func (x *reader) service(name string) error {
	if _, ok := x.c.Head.Services[name]; !ok {
		return faulty("it holds something of %s, which its head does not name", name)
	}
	return nil
}

func (x *reader) readRows(h *tar.Header, service, table, part string, r io.Reader) error {
	if err := x.service(service); err != nil {
		return err
	}
	key := service + "/" + table
	x.parts[key]++
	if n, err := strconv.Atoi(part); err != nil || n != x.parts[key] {
		return faulty("%s stands where part %d is expected", h.Name, x.parts[key])
	}
	data, sum, err := all(h, r, MaxRows)
	if err != nil {
		return err
	}
	if len(data) == 0 || data[len(data)-1] != '\n' {
		return faulty("%s does not end with a line", h.Name)
	}
	if err := x.note(h, sum); err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		err := x.row(service, table, line)
		if e := errs.As(err); err != nil && e.Kind.Refusal() && x.visit == nil {
			return errs.Wrap(e.Kind, err, fmt.Sprintf("the archive is refused: %s, line %d: %s", h.Name, n, e.Public()))
		}
		if err != nil {
			x.visit = err
			return err
		}
	}
	if x.rows[service] == nil {
		x.rows[service] = map[string]int64{}
	}
	x.rows[service][table] += int64(n)
	if x.v.Rows != nil {
		x.visit = x.v.Rows(service, table, x.parts[key], data)
	}
	return x.visit
}

func (x *reader) readObject(h *tar.Header, service, want string, r io.Reader) error {
	if err := x.service(service); err != nil {
		return err
	}
	if h.Size > x.b.Object {
		return excessive("%s has more than %d bytes", h.Name, x.b.Object)
	}
	hash := sha256.New()
	in := &failing{r: io.TeeReader(r, hash)}
	if x.v.Object != nil {
		err := x.v.Object(service, want, h.Size, in)
		if in.err != nil {
			return in.err
		}
		if x.visit = err; err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if sum != want {
		return faulty("%s is damaged: its sum is %s", h.Name, sum)
	}
	x.objects++
	if at := (object{service, [sha256.Size]byte(hash.Sum(nil))}); x.kept[at] == nil {
		x.kept[at] = &named{size: h.Size}
	}
	return x.note(h, sum)
}

// failing remembers that the archive failed, and not what a visitor does.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

func (x *reader) note(h *tar.Header, sum string) error {
	x.bytes += h.Size
	x.pending.WriteString(sum + "  " + h.Name + "\n")
	if x.pending.Len() > 4<<20 {
		return faulty("no file of sums in many members")
	}
	return nil
}

func (x *reader) readSums(h *tar.Header, part string, r io.Reader) error {
	if n, err := strconv.Atoi(part); err != nil || n != len(x.sums)+1 {
		return faulty("%s stands where part %d is expected", h.Name, len(x.sums)+1)
	}
	data, sum, err := all(h, r, 4<<20)
	if err != nil {
		return err
	}
	if found := x.pending.String(); string(data) != found || found == "" {
		return faulty("%s", differs(h.Name, string(data), found))
	}
	x.pending.Reset()
	x.sums = append(x.sums, sum)
	return nil
}

// differs says which member is not what the sums say.
func differs(name, said, found string) string {
	a, b := strings.Split(said, "\n"), strings.Split(found, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && b[i] != "" {
			_, member, _ := strings.Cut(b[i], "  ")
			return fmt.Sprintf("%s is damaged: %s has another sum for it", member, name)
		}
	}
	return fmt.Sprintf("%s does not name what stands before it", name)
}

func (x *reader) readManifest(h *tar.Header, r io.Reader) error {
	data, _, err := all(h, r, 4<<20)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &x.c.Manifest); err != nil {
		return faulty("its manifest cannot be read")
	}
	m := x.c.Manifest
	for service, tables := range m.Rows { // tables without a row
		maps.DeleteFunc(tables, func(_ string, n int64) bool { return n == 0 })
		if len(tables) == 0 {
			delete(m.Rows, service)
		}
	}
	switch {
	case x.pending.Len() > 0:
		return faulty("its last members have no sums")
	case m.Head != x.head:
		return faulty("%s is damaged", headName)
	case !slices.Equal(m.Sums, x.sums):
		return faulty("its manifest names other sums")
	case m.Objects != x.objects || m.Bytes != x.bytes || !maps.EqualFunc(m.Rows, x.rows, maps.Equal):
		return faulty("its manifest counts %d rows, %d objects and %d bytes; there are %d, %d and %d", m.total(), m.Objects, m.Bytes,
			Manifest{Rows: x.rows}.total(), x.objects, x.bytes)
	}
	x.ended = true
	return nil
}
