package bert_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

func write(t *testing.T, s embedtest.Shape) string {
	t.Helper()
	dir := t.TempDir()
	if err := embedtest.WriteModel(dir, s, 7); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "model.safetensors")
}

func open(t *testing.T, path string, set kernel.Set) *bert.Model {
	t.Helper()
	m, err := bert.Open(path, bert.Config{}, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func sequences(m *bert.Model, lengths ...int) (q [][]int32, out [][]float32) {
	r := rand.New(rand.NewPCG(1, uint64(len(lengths))))
	for _, n := range lengths {
		s := make([]int32, n)
		for i := range s {
			s[i] = r.Int32N(int32(m.Vocab()))
		}
		q, out = append(q, s), append(out, make([]float32, m.Dim()))
	}
	return q, out
}

func on() error { return nil }

func TestTheForwardPassAgreesWithANaiveOneInDoublePrecision(t *testing.T) {
	t.Parallel()
	for _, shape := range []embedtest.Shape{embedtest.Small, {Layers: 1, Dim: 384, Inner: 416, Places: 70}, {Layers: 1, Dim: 96, Inner: 32, Places: 64}} {
		path := write(t, shape)
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n := naive{t: t, f: f, layers: shape.Layers, dim: shape.Dim, inner: shape.Inner, read: map[string][]float64{}}
		lengths := []int{1, 2, 5, 16, 17, 33, 49, 64, 3}
		switch {
		case shape.Dim > 300:
			lengths = []int{3, 17, 50}
		case shape.Places > 200:
			lengths = append(lengths, 129)
		}
		var want [][]float64
		for _, set := range kernel.Sets() {
			m := open(t, path, set)
			q, out := sequences(m, lengths...)
			if err := m.Forward(new(bert.Scratch), q, out, on); err != nil {
				t.Fatal(err)
			}
			for i := range q {
				if len(want) == i {
					want = append(want, n.vector(q[i]))
				}
				for j, w := range want[i] {
					if d := math.Abs(float64(out[i][j]) - w); d > 3e-6 {
						t.Fatalf("%s, %+v: %d tokens, number %d: %v, want %v", set, shape, len(q[i]), j, out[i][j], w)
					}
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWeightsOfAByteGiveTheSameVectorsOnEverySet(t *testing.T) {
	t.Parallel()
	for _, shape := range []embedtest.Shape{embedtest.Small, {Layers: 1, Dim: 384, Inner: 416, Places: 70}} {
		path := write(t, shape)
		var coded [][]float32
		for _, set := range kernel.Sets() {
			full := open(t, path, set)
			m, err := bert.Open(path, bert.Config{Int8: true}, set)
			if err != nil {
				t.Fatal(err)
			}
			q, want := sequences(full, 1, 2, 17, 33, 64)
			if err := full.Forward(new(bert.Scratch), q, want, on); err != nil {
				t.Fatal(err)
			}
			_, out := sequences(full, 1, 2, 17, 33, 64)
			if err := m.Forward(new(bert.Scratch), q, out, on); err != nil {
				t.Fatal(err)
			}
			for i := range q {
				var cosine float64
				for j, v := range out[i] {
					cosine += float64(v) * float64(want[i][j])
				}
				if cosine < 0.999 || cosine > 1-1e-9 {
					t.Errorf("%s, %+v: %d tokens: cosine %v to the full weights", set, shape, len(q[i]), cosine)
				}
				if len(coded) == i {
					coded = append(coded, out[i])
				}
				for j, v := range out[i] {
					if d := math.Abs(float64(v - coded[i][j])); d > 1e-3 {
						t.Fatalf("%s, %+v: %d tokens, number %d: %v, and %v on the first set", set, shape, len(q[i]), j, v, coded[i][j])
					}
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAVectorDoesNotDependOnItsCompany(t *testing.T) {
	t.Parallel()
	m := open(t, write(t, embedtest.Small), kernel.Best())
	q, together := sequences(m, 40, 7, 40, 100, 1)
	var s bert.Scratch
	if err := m.Forward(&s, q, together, on); err != nil {
		t.Fatal(err)
	}
	for i := range q {
		alone := [][]float32{make([]float32, m.Dim())}
		if err := m.Forward(&s, q[i:i+1], alone, on); err != nil {
			t.Fatal(err)
		}
		var length float64
		for j, v := range alone[0] {
			if math.Abs(float64(v-together[i][j])) > 1e-6 {
				t.Fatalf("sequence %d, number %d: %v alone, %v together", i, j, v, together[i][j])
			}
			length += float64(v) * float64(v)
		}
		if math.Abs(length-1) > 1e-5 {
			t.Errorf("sequence %d: length² %v", i, length)
		}
	}
}

func TestPauseEndsThePassBetweenHalfLayers(t *testing.T) {
	t.Parallel()
	m := open(t, write(t, embedtest.Small), kernel.Best())
	q, out := sequences(m, 5)
	enough := errors.New("enough")
	for stop := 1; stop <= 5; stop++ {
		calls := 0
		err := m.Forward(new(bert.Scratch), q, out, func() error {
			if calls++; calls == stop {
				return enough
			}
			return nil
		})
		if last := stop > 4; last != (err == nil) || !last && !errors.Is(err, enough) || calls != min(stop, 4) {
			t.Errorf("stop at %d: %v after %d calls", stop, err, calls)
		}
	}
}

func TestWhatTheModelCannotReadIsAnError(t *testing.T) {
	t.Parallel()
	m := open(t, write(t, embedtest.Small), kernel.Plain())
	if m.MaxTokens() != 256 || m.Dim() != 64 || m.Vocab() != len(embedtest.Vocabulary()) {
		t.Errorf("%d places, %d numbers, %d tokens", m.MaxTokens(), m.Dim(), m.Vocab())
	}
	for name, q := range map[string][]int32{"empty": {}, "long": make([]int32, 257), "negative": {-1}, "unknown": {int32(m.Vocab())}} {
		if err := m.Forward(new(bert.Scratch), [][]int32{q}, [][]float32{make([]float32, 64)}, on); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := m.Forward(new(bert.Scratch), [][]int32{{1}}, [][]float32{make([]float32, 63)}, on); err == nil {
		t.Error("a short vector was accepted")
	}
}

// edited is the small model with its tables changed by edit.
func edited(t *testing.T, edit func([]safetensors.Table) []safetensors.Table) string {
	t.Helper()
	path := write(t, embedtest.Small)
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var tables []safetensors.Table
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		floats, err := f.Read(name, x.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, safetensors.Table{Name: name, Shape: x.Shape, Floats: floats})
	}
	var b bytes.Buffer
	if err := errors.Join(f.Close(), safetensors.Write(&b, edit(tables)), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWeightsOfAnotherShapeAreRefused(t *testing.T) {
	t.Parallel()
	without := func(part string) func([]safetensors.Table) []safetensors.Table {
		return func(all []safetensors.Table) []safetensors.Table {
			return slices.DeleteFunc(all, func(x safetensors.Table) bool { return strings.Contains(x.Name, part) })
		}
	}
	reshaped := func(part string, floats int, shape ...int) func([]safetensors.Table) []safetensors.Table {
		return func(all []safetensors.Table) []safetensors.Table {
			for i, x := range all {
				if strings.Contains(x.Name, part) {
					all[i].Shape, all[i].Floats = shape, make([]float32, floats)
				}
			}
			return all
		}
	}
	for name, edit := range map[string]func([]safetensors.Table) []safetensors.Table{
		"no words":      without("word_embeddings"),
		"no places":     without("position_embeddings"),
		"no types":      reshaped("token_type_embeddings", 0, 0, 64),
		"no norm":       without("embeddings.LayerNorm"),
		"no layers":     without("intermediate"),
		"half a layer":  without("layer.1.attention.self.key.weight"),
		"no bias":       without("layer.1.attention.self.key.bias"),
		"flat words":    reshaped("word_embeddings", 64, 64),
		"odd dimension": reshaped("word_embeddings", 33*20, 20, 33),
		"other width":   reshaped("word_embeddings", 32*20, 20, 32),
		"other inside":  reshaped("layer.1.output.dense.weight", 64*64, 64, 64),
		"odd inside":    reshaped("layer.0.intermediate.dense.weight", 33*64, 33, 64),
	} {
		if _, err := bert.Open(edited(t, edit), bert.Config{}, kernel.Plain()); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := bert.Open(filepath.Join(t.TempDir(), "missing"), bert.Config{}, kernel.Plain()); err == nil {
		t.Error("a missing file was opened")
	}
}

func TestWeightsThatAreNoNumbersGiveAnErrorAndNoVector(t *testing.T) {
	t.Parallel()
	path := edited(t, func(all []safetensors.Table) []safetensors.Table {
		for _, x := range all {
			if strings.Contains(x.Name, "layer.1.output.dense.bias") {
				x.Floats[3] = float32(math.NaN())
			}
		}
		return all
	})
	for _, set := range kernel.Sets() {
		for _, inBytes := range []bool{false, true} {
			m, err := bert.Open(path, bert.Config{Int8: inBytes}, set)
			if err != nil {
				t.Fatal(err)
			}
			q, out := sequences(m, 9)
			if err := m.Forward(new(bert.Scratch), q, out, on); err == nil {
				t.Errorf("%s, bytes %v: %v", set, inBytes, out[0][:3])
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	path = edited(t, func(all []safetensors.Table) []safetensors.Table {
		for _, x := range all {
			if strings.Contains(x.Name, "layer.1.output.dense.weight") {
				x.Floats[3] = float32(math.NaN())
			}
		}
		return all
	})
	if _, err := bert.Open(path, bert.Config{Int8: true}, kernel.Best()); err == nil || !strings.Contains(err.Error(), "layer.1.output.dense") {
		t.Errorf("what is no number was coded: %v", err)
	}
}

func TestAFileCutShortUnderAMappingIsAnErrorAndNoCrash(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("other systems refuse, or keep the pages")
	}
	// Large enough for the table of words to reach into pages of its own.
	shape := embedtest.Small
	shape.Dim, shape.Layers = 1024, 1
	path := write(t, shape)
	m := open(t, path, kernel.Best())
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	q, out := sequences(m, 9)
	if err := m.Forward(new(bert.Scratch), q, out, on); err == nil {
		t.Error("words were read from an empty file")
	}
}
