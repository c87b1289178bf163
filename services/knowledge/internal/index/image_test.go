package index_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

const (
	graphOf = 300 // vectors from which on there is a graph in these tests
	dim     = 12
)

var ranking = index.Config{Graph: graphOf}

// writer makes passages of documents, three of each and one in five without a
// vector.
type writer struct {
	text
	id int64
}

func (w *writer) document(d int64) []index.Passage {
	ps := make([]index.Passage, 3)
	for i := range ps {
		w.id++
		ps[i] = index.Passage{
			ID: w.id, Document: d, Title: w.words(2), Body: "the " + w.words(6+w.r.IntN(20)), Source: fmt.Sprintf("docs/%d.md", d), Language: "en",
			Collection: fmt.Sprint("c", d%3), Category: fmt.Sprint("k", d%4), Technology: d % 5, Repository: d % 2,
		}
		if w.r.IntN(5) > 0 {
			ps[i].Vector = w.vector()
		}
	}
	return ps
}

func (w *writer) vector() []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(w.r.NormFloat64())
	}
	return v
}

// grown is an index with passages that came, went and changed.
func grown(t testing.TB, documents int64) (*index.Index, *writer) {
	t.Helper()
	x, w := index.New(ranking, &terms.Analyzer{}), &writer{text: *newText(5)}
	w.change(t, 1, documents, x)
	x.Reached(index.State{Generation: 77, Model: "m", Line: "here", Backend: index.Memory})
	return x, w
}

// change makes the same changes of several indexes.
func (w *writer) change(t testing.TB, from, to int64, xs ...*index.Index) {
	t.Helper()
	for d := from; d < to; d++ {
		ps := w.document(d)
		drop, keep := w.r.Int64N(d)+1, map[int64]bool{ps[0].ID: true}
		for _, x := range xs {
			if err := x.Put(ps); err != nil {
				t.Fatal(err)
			}
			if d%3 == 0 {
				x.Keep(drop, nil)
			}
			if d%7 == 0 {
				x.Keep(d, keep)
			}
		}
	}
}

func image(t testing.TB, x *index.Index) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := x.Save(&b, 3, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(b []byte) (*index.Index, error) {
	return index.Load(bytes.NewReader(b), int64(len(b)), 3, ranking, &terms.Analyzer{})
}

// requests are of every kind.
func (w *writer) requests() []index.Request {
	var all []index.Request
	for i := range 40 {
		a, b := w.words(1), w.words(1)
		r := index.Request{Text: w.words(4), Limit: 8, Alpha: .6, Explain: true, Offset: i % 3, Mode: []index.Mode{index.Hybrid, index.Vector, index.Keyword}[i%3]}
		switch i % 8 {
		case 1:
			r.Text = fmt.Sprintf(`"%s %s"`, a, b)
		case 2:
			r.Text = fmt.Sprintf("+%s -%s %s*", a, b, a[:2])
		case 3:
			r.Text = a + "~ title:" + b
		case 4:
			r.Filter = index.Filter{Collection: "c1", Technology: 2}
		case 5:
			r.Group, r.Method = true, fusion.RRF
		case 6:
			r.Diversity = .5
		case 7:
			r.Text = "path:docs/12.md"
		}
		if r.Mode != index.Keyword {
			r.Vector = w.vector()
		}
		all = append(all, r)
	}
	return all
}

// alike asks two indexes the same.
func alike(t *testing.T, w *writer, a, b *index.Index) {
	t.Helper()
	found := 0
	for _, r := range w.requests() {
		want, err := a.Search(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Search(r)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\nfound %+v (%v)\nwant  %+v", r, got, err, want)
		}
		found += len(got.Hits)
	}
	if found < 100 {
		t.Errorf("only %d hits", found)
	}
	ap, av := a.Len()
	bp, bv := b.Len()
	if ap != bp || av != bv || a.State() != b.State() {
		t.Errorf("%d passages, %d vectors, %+v; want %d, %d, %+v", bp, bv, b.State(), ap, av, a.State())
	}
}

func TestAnImageAnswersAsItsIndexDoesAndGoesOnAsItWould(t *testing.T) {
	t.Parallel()
	x, w := grown(t, 500)
	x.Settle()
	b := image(t, x)
	y, err := load(b)
	if err != nil {
		t.Fatal(err)
	}
	alike(t, w, x, y)
	if d := x.Bytes() - y.Bytes(); d > x.Bytes()/3 || -d > x.Bytes()/3 {
		t.Errorf("%d bytes, of before %d", y.Bytes(), x.Bytes())
	}
	if again := image(t, y); !bytes.Equal(again, b) {
		t.Error("the image of what was loaded is another")
	}
	for range 2 { // until slots are given anew and graphs made anew
		from := w.id
		w.change(t, from, from+400, x, y)
		x.Settle()
		y.Settle()
		alike(t, w, x, y)
	}
	empty := index.New(ranking, &terms.Analyzer{})
	if y, err := load(image(t, empty)); err != nil || y.Generation() != 0 {
		t.Errorf("an empty index: %v", err)
	}
}

func TestAnImageOfAHalfBuiltGraphIsBuiltOn(t *testing.T) {
	t.Parallel()
	x, w := grown(t, 2000) // its builder is at work
	y, err := load(image(t, x))
	if err != nil {
		t.Fatal(err)
	}
	x.Settle()
	y.Settle()
	alike(t, w, x, y)
}

func TestADamagedImageIsRefusedWhereverTheDamageIs(t *testing.T) {
	t.Parallel()
	x := index.New(index.Config{Graph: 8}, &terms.Analyzer{})
	w := &writer{text: *newText(6)}
	w.change(t, 1, 6, x)
	x.Settle()
	var buf bytes.Buffer
	if err := x.Save(&buf, 3, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	read := func(b []byte) error {
		_, err := index.Load(bytes.NewReader(b), int64(len(b)), 3, index.Config{Graph: 8}, &terms.Analyzer{})
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if err := read(b); !errors.Is(err, wire.ErrDamaged) && !errors.Is(err, index.ErrForeign) {
			t.Fatalf("%s at %d of %d: %v", what, at, len(whole), err)
		}
	}
	for at := range whole {
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(whole)
			b[at] ^= bit
			refused("another bit", at, b)
		}
		refused("the end", at, whole[:at])
		refused("a byte less", at, append(bytes.Clone(whole[:at]), whole[at+1:]...))
		refused("a byte more", at, append(append(bytes.Clone(whole[:at]), 0), whole[at:]...))
	}
	refused("a byte behind the end", len(whole), append(bytes.Clone(whole), 0))
	refused("twice", 0, append(bytes.Clone(whole), whole...))
	// The size of a file that shrinks while it is read.
	if _, err := index.Load(bytes.NewReader(whole[:len(whole)/2]), int64(len(whole)), 3, index.Config{Graph: 8}, &terms.Analyzer{}); !errors.Is(err, wire.ErrDamaged) {
		t.Errorf("a file that shrinks: %v", err)
	}
}

func TestAnImageOfSomethingElseIsForeign(t *testing.T) {
	t.Parallel()
	x, _ := grown(t, 20)
	b := image(t, x)
	foreign := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, index.ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := index.Load(bytes.NewReader(b), int64(len(b)), 4, ranking, &terms.Analyzer{})
	foreign("another project", err)
	_, err = index.Load(bytes.NewReader(b), int64(len(b)), 3, index.Config{Graph: graphOf, Lexical: lexical.Config{B: .9}}, &terms.Analyzer{})
	foreign("another setting", err)
	binary.LittleEndian.PutUint32(b[8:], 3)
	_, err = load(b)
	foreign("a later format", err)
}

func TestTheWritingOfAnImageCanBeStopped(t *testing.T) {
	t.Parallel()
	x, _ := grown(t, 20)
	why := errors.New("enough")
	if err := x.Save(&bytes.Buffer{}, 3, func() error { return why }); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// payload is what the blocks of an image hold, so that it can be changed below
// the checksums.
func payload(b []byte) []byte {
	var out []byte
	for b = b[12:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b)
		out, b = append(out, b[8:8+n]...), b[12+n:]
	}
	return out
}

// rewrapped is an image of a payload, with the checksums that it should have.
func rewrapped(payload []byte) []byte {
	var b bytes.Buffer
	b.WriteString("CCINDEX\n\x02\x00\x00\x00")
	w := wire.NewWriter(&b)
	w.Bytes(payload)
	_ = w.Close()
	return b.Bytes()
}

// survives reads what is no image behind the right checksums: it is refused,
// or an index that can be used.
func survives(p []byte) {
	x, err := load(rewrapped(p))
	if err != nil {
		return
	}
	for _, r := range []index.Request{
		{Text: "the bafo", Limit: 3, Mode: index.Hybrid, Vector: make1(dim), Alpha: .5, Explain: true, Diversity: .3},
		{Text: `"bafo bafo" title:x* -y~`, Limit: 3, Mode: index.Keyword, Group: true},
	} {
		_, _ = x.Search(r) //nolint:errcheck // it must not panic
	}
	x.Keep(1, nil)
	_ = x.Put([]index.Passage{{ID: 1 << 40, Document: 1, Body: "new", Vector: make1(dim)}}) //nolint:errcheck // likewise
	x.Close()
}

func make1(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

func TestNonsenseBehindRightChecksumsDoesNoHarm(t *testing.T) {
	t.Parallel()
	x, _ := grown(t, 160)
	x.Settle()
	whole := payload(image(t, x))
	r := rand.New(rand.NewPCG(4, 4)) //nolint:gosec // G404: a seed
	for range 600 {
		p := bytes.Clone(whole)
		for range r.IntN(3) + 1 {
			switch at := r.IntN(len(p) - 40); r.IntN(4) {
			case 0:
				p[at] = byte(r.Uint32())
			case 1:
				p = append(p[:at], p[at+r.IntN(20):]...)
			case 2:
				copy(p[at:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
			case 3:
				p = append(p[:at], append([]byte{0, 1, 0x80}, p[at:]...)...)
			}
		}
		survives(p)
	}
}

func FuzzLoad(f *testing.F) {
	for _, documents := range []int64{2, 8, 110} {
		x, _ := grown(f, documents)
		x.Settle()
		f.Add(payload(image(f, x)))
	}
	f.Fuzz(func(_ *testing.T, p []byte) { survives(p) })
}

// TestImagesAreOfThisAnalysis: who changes how texts become words makes images
// of before useless, and says so by another imageContents.
func TestImagesAreOfThisAnalysis(t *testing.T) {
	t.Parallel()
	a := &terms.Analyzer{}
	h := sha256.New()
	for _, s := range []string{
		"The running foxes' houses were not built in HTTPServer.ListenAndServe, snake_case_name or kebab-case; 3.14 v1.2.3 C++ x86_64",
		"Größe und Häuser, naïve café, ПРИВЕТ мир, 東京タワー, İstanbul, e-mail me@example.org, https://a.example/b?c=d&e",
		"func (x *Index) Put(passages []Passage) error { return fmt.Errorf(\"passage %d: %w\", p.ID, err) }",
	} {
		fmt.Fprintf(h, "%+v", a.Analyze(s))
	}
	const want = "912508dda6608822fcc2bcfa5de24a6bd6612a20678e269c971d14a10e709794"
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
		t.Errorf("the analysis is %s: write it here, and another imageContents into image.go", got)
	}
}
