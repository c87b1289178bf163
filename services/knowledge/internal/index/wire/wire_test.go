package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

// written is a stream of several blocks with every kind of number.
func written(t *testing.T) ([]byte, []float32, []int8) {
	t.Helper()
	floats, codes := make([]float32, 100_000), make([]int8, 300_001)
	for i := range floats {
		floats[i] = float32(i) / 7
	}
	for i := range codes {
		codes[i] = int8(i)
	}
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	w.Uint(math.MaxUint64)
	w.Int(math.MinInt64)
	w.Float(math.Pi)
	w.String("größe")
	w.Uint(3)
	w.Bytes([]byte{1, 2, 3})
	w.Floats(floats)
	w.Codes(codes)
	w.Float(math.Inf(-1))
	w.Uint(7)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), floats, codes
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	t.Parallel()
	b, floats, codes := written(t)
	r := wire.NewReader(bytes.NewReader(b), int64(len(b)))
	if r.Uint() != math.MaxUint64 || r.Int() != math.MinInt64 || r.Float() != math.Pi || r.String() != "größe" {
		t.Error("numbers differ")
	}
	three := make([]byte, r.Count(1))
	r.Bytes(three)
	f, c := make([]float32, len(floats)), make([]int8, len(codes))
	r.Floats(f)
	r.Codes(c)
	if !slices.Equal(f, floats) || !slices.Equal(c, codes) || !bytes.Equal(three, []byte{1, 2, 3}) {
		t.Error("lists differ")
	}
	if r.Float() != math.Inf(-1) || r.Below(8) != 7 || r.Close() != nil {
		t.Error(r.Err())
	}
}

func TestTheFirstFaultStays(t *testing.T) {
	t.Parallel()
	b, _, _ := written(t)
	for what, read := range map[string]func(r *wire.Reader){
		"a number that is too large": func(r *wire.Reader) { r.Below(8) },
		"more than 32 bits":          func(r *wire.Reader) { r.Uint32() },
		"more things than bytes":     func(r *wire.Reader) { r.Count(1) },
		"something left":             func(r *wire.Reader) { r.Uint() },
		"read on behind the end":     func(r *wire.Reader) { r.Bytes(make([]byte, 2*len(b))) },
		"floats behind the end":      func(r *wire.Reader) { r.Floats(make([]float32, len(b))) },
		"codes behind the end":       func(r *wire.Reader) { r.Codes(make([]int8, 2*len(b))) },
		"what makes no sense":        func(r *wire.Reader) { r.Fail("nonsense") },
	} {
		r := wire.NewReader(bytes.NewReader(b), int64(len(b)))
		read(r)
		if err := r.Close(); !errors.Is(err, wire.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if first := r.Err(); r.Uint() != 0 || r.Int() != 0 || r.Float() != 0 || r.String() != "" || r.Below(3) != 0 || !errors.Is(r.Err(), first) {
			t.Errorf("%s: read on after an error", what)
		}
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Read([]byte) (int, error)  { return 0, errBroken }
func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestTheErrorsOfAFileAreNotDamage(t *testing.T) {
	t.Parallel()
	r := wire.NewReader(broken{}, 1000)
	if r.Uint(); !errors.Is(r.Err(), errBroken) || errors.Is(r.Err(), wire.ErrDamaged) {
		t.Errorf("error %v", r.Err())
	}
	w := wire.NewWriter(broken{})
	w.Bytes(make([]byte, 1<<20))
	if err := w.Close(); !errors.Is(err, errBroken) || !errors.Is(w.Err(), errBroken) {
		t.Errorf("error %v", err)
	}
}

func TestBlocksInAnotherOrderAreDamage(t *testing.T) {
	t.Parallel()
	b, _, _ := written(t)
	const block = 8 + 1<<18 + 4
	swapped := slices.Concat(b[block-2:2*block-4], b[:block-2], b[2*block-4:])
	r := wire.NewReader(bytes.NewReader(swapped), int64(len(swapped)))
	if _ = r.Uint(); !errors.Is(r.Err(), wire.ErrDamaged) {
		t.Errorf("error %v", r.Err())
	}
	r = wire.NewReader(io.LimitReader(bytes.NewReader(b), 5), int64(len(b)))
	if _ = r.Uint(); !errors.Is(r.Err(), wire.ErrDamaged) {
		t.Errorf("error %v", r.Err())
	}
}
