package index

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

// An image is an index as a file: a head that says what it is, and what package
// wire writes.
const (
	imageMagic  = "CCINDEX\n"
	imageFormat = 2
	// imageContents is another number when the same passages give another
	// index: their words, their order, the links of the graph.
	imageContents = 2
)

// ErrForeign says that an image is of another format, project or setting.
var ErrForeign = errors.New("not of this version, project and setting")

// imageHeadSize is that of what an image begins with: magic and format.
const imageHeadSize = len(imageMagic) + 4

// kind is what an image of c must have been made with.
func (c Config) kind() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %d %v %+v", imageContents, terms.NumStops, terms.Languages(), c))
}

// Save writes an image of the index of p. Searches go on meanwhile, changes
// wait; stop is asked now and then, and its error ends the writing.
func (x *Index) Save(to io.Writer, p tenant.Project, stop func() error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if _, err := to.Write(binary.LittleEndian.AppendUint32([]byte(imageMagic), imageFormat)); err != nil {
		return err
	}
	w := wire.NewWriter(stoppable{to, stop})
	kind := x.c.kind()
	w.Bytes(kind[:])
	w.Int(int64(p))
	w.Int(x.state.Generation)
	w.String(x.state.Model)
	w.String(x.state.Line)
	w.String(string(x.state.Backend))
	x.lex.Save(w)
	x.vec.Save(w)
	numbers := map[facet]uint64{{}: 0}
	named := []facet{}
	for _, marks := range x.marks {
		for _, f := range marks {
			if _, known := numbers[f]; !known {
				named = append(named, f)
				numbers[f] = uint64(len(named))
			}
		}
	}
	w.Uint(uint64(len(named)))
	for _, f := range named {
		w.Uint(uint64(f.field))
		w.String(f.value)
	}
	for slot, id := range x.ids {
		w.Int(id)
		w.Int(x.docs[slot])
		w.Uint(uint64(x.tongues.of[slot]))
		for _, f := range x.marks[slot] {
			w.Uint(numbers[f])
		}
	}
	return w.Close()
}

type stoppable struct {
	io.Writer
	stop func() error
}

func (s stoppable) Write(b []byte) (int, error) {
	if err := s.stop(); err != nil {
		return 0, err
	}
	return s.Writer.Write(b)
}

// Load reads an image of size bytes of the index of p. The error is
// [ErrForeign], wire.ErrDamaged, or that of the reading.
func Load(from io.Reader, size int64, p tenant.Project, c Config, a *terms.Analyzer) (*Index, error) {
	head := make([]byte, imageHeadSize)
	if _, err := io.ReadFull(from, head); err != nil || string(head[:len(imageMagic)]) != imageMagic {
		return nil, fmt.Errorf("%w: no image", errors.Join(wire.ErrDamaged, err))
	}
	if v := binary.LittleEndian.Uint32(head[len(imageMagic):]); v != imageFormat {
		return nil, fmt.Errorf("%w: format %d", ErrForeign, v)
	}
	x := New(c, a)
	r := wire.NewReader(from, size-int64(imageHeadSize))
	var kind [sha256.Size]byte
	r.Bytes(kind[:])
	if r.Err() == nil && kind != x.c.kind() {
		return nil, fmt.Errorf("%w: other settings", ErrForeign)
	}
	if of := r.Int(); r.Err() == nil && of != int64(p) {
		return nil, fmt.Errorf("%w: project %d", ErrForeign, of)
	}
	x.state = State{Generation: r.Int(), Model: r.String(), Line: r.String(), Backend: Backend(r.String())}
	slots := x.lex.Load(r)
	x.vec.Load(r, slots)
	x.loadSlots(r, slots)
	if err := r.Close(); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

func (x *Index) loadSlots(r *wire.Reader, n int) {
	named := make([]facet, 1, 16)
	for range r.Count(2) {
		named = append(named, facet{byte(r.Below(256)), r.String()})
	}
	alive, languages := x.lex.Alive(), terms.Languages()
	x.ids, x.docs, x.marks = make([]int64, n), make([]int64, n), make([][4]facet, n)
	x.slots = make(map[int64]uint32, n)
	for slot := range uint32(n) {
		x.ids[slot], x.docs[slot] = r.Int(), r.Int()
		x.tongues.load(terms.Language(r.Below(len(languages))), alive.Has(slot)) //nolint:gosec // G115: below their number
		for i := range x.marks[slot] {
			f := named[r.Below(len(named))]
			if x.marks[slot][i] = f; f.field == 0 {
				continue
			}
			s := x.facets[f]
			if s == nil {
				s = &bitmap.Set{}
				x.facets[f] = s
			}
			s.Add(slot)
		}
		if r.Err() != nil {
			return
		}
		if !alive.Has(slot) {
			x.dead++
			continue
		}
		if _, twice := x.slots[x.ids[slot]]; twice {
			r.Fail("passage %d twice", x.ids[slot])
			return
		}
		x.slots[x.ids[slot]] = slot
		x.byDoc[x.docs[slot]] = append(x.byDoc[x.docs[slot]], slot)
	}
}
