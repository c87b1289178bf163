package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/memory"
)

// maxHeader bounds the header, in bytes. The model's own has 11 KB.
const maxHeader = 8 << 20

// Tensor is where a table of numbers lies.
type Tensor struct {
	Type   string // "F32", "I64", …
	Shape  []int
	Offset int64 // in the file
	Bytes  int64
}

// Len is the number of entries.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// File is an open file of weights.
type File struct {
	f       *os.File
	tensors map[string]Tensor
}

// Open reads the header of the file at path. The caller closes the file.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var tensors map[string]Tensor
		if tensors, err = Header(f, info.Size()); err == nil {
			return &File{f: f, tensors: tensors}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
}

// Close closes the file. What was mapped stays.
func (f *File) Close() error { return f.f.Close() }

// Tensor finds a table by name.
func (f *File) Tensor(name string) (Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// Names lists the tables in the order of the file.
func (f *File) Names() []string {
	return slices.SortedFunc(maps.Keys(f.tensors), func(a, b string) int {
		x, y := f.tensors[a], f.tensors[b]
		return cmp.Or(cmp.Compare(x.Offset, y.Offset), cmp.Compare(x.Bytes, y.Bytes), cmp.Compare(a, b))
	})
}

// floats finds a table of float32 and checks its shape; a dimension of -1
// may be anything.
func (f *File) floats(name string, shape []int) (Tensor, error) {
	t, ok := f.tensors[name]
	if !ok {
		return t, fmt.Errorf("no tensor %s", name)
	}
	if t.Type != "F32" {
		return t, fmt.Errorf("tensor %s is %s, want F32", name, t.Type)
	}
	fits := slices.EqualFunc(t.Shape, shape, func(have, want int) bool { return have == want || want == -1 })
	if !fits {
		return t, fmt.Errorf("tensor %s has shape %v, want %v", name, t.Shape, shape)
	}
	return t, nil
}

// Read copies a table of the given shape.
func (f *File) Read(name string, shape ...int) ([]float32, error) {
	return f.ReadTo(nil, name, shape...)
}

// ReadTo is Read into buf, or into a new slice if buf is too small.
func (f *File) ReadTo(buf []float32, name string, shape ...int) ([]float32, error) {
	t, err := f.floats(name, shape)
	if err != nil {
		return nil, err
	}
	x := slices.Grow(buf[:0], t.Len())[:t.Len()]
	if err := memory.ReadAt(f.f, t.Offset, x); err != nil {
		return nil, fmt.Errorf("read tensor %s: %w", name, err)
	}
	return x, nil
}

// Map shows a table of the given shape where it lies in the file: see
// [memory.Map].
func (f *File) Map(name string, shape ...int) (*memory.Region, error) {
	t, err := f.floats(name, shape)
	if err != nil {
		return nil, err
	}
	if t.Offset%4 != 0 { // legal, but no address for a number
		x, err := f.Read(name, shape...)
		return &memory.Region{Floats: x}, err
	}
	return memory.Map(f.f, t.Offset, t.Len())
}

// sizes are the bytes of one entry.
var sizes = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1,
	"I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4,
	"I64": 8, "U64": 8, "F64": 8,
}

// Header reads and checks the header of a file of size bytes: each table lies
// inside the file and is as long as its shape says, and together they fill
// the file without gap or overlap.
func Header(r io.ReaderAt, size int64) (map[string]Tensor, error) {
	var length [8]byte
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("too short for a header: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d", n, size)
	}
	head := make([]byte, n)
	if got, err := r.ReadAt(head, 8); got < len(head) {
		return nil, fmt.Errorf("header: %w", err)
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimRight(head, " "), &entries); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	begin := int64(8 + n)
	tensors := make(map[string]Tensor, len(entries))
	for name, raw := range entries {
		if name == "__metadata__" {
			continue
		}
		t, err := entry(raw, begin, size)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors[name] = t
	}
	return tensors, covered(tensors, begin, size)
}

func entry(raw json.RawMessage, begin, size int64) (Tensor, error) {
	var e struct {
		Type    string   `json:"dtype"`
		Shape   []int64  `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Tensor{}, err
	}
	n, ok := sizes[e.Type]
	if !ok {
		return Tensor{}, fmt.Errorf("unknown type %q", e.Type)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from || to > size-begin {
		return Tensor{}, fmt.Errorf("bytes %d to %d of %d", from, to, size-begin)
	}
	shape := make([]int, len(e.Shape))
	for i, d := range e.Shape {
		if d < 0 || d > math.MaxInt32 || (d > 0 && n > size/d) {
			return Tensor{}, fmt.Errorf("shape %v does not fit the file", e.Shape)
		}
		shape[i] = int(d)
		n *= d
	}
	if n != to-from {
		return Tensor{}, fmt.Errorf("%d bytes for %s of shape %v", to-from, e.Type, e.Shape)
	}
	return Tensor{Type: e.Type, Shape: shape, Offset: begin + from, Bytes: n}, nil
}

func covered(tensors map[string]Tensor, begin, size int64) error {
	order := make([]Tensor, 0, len(tensors))
	for _, t := range tensors {
		order = append(order, t)
	}
	slices.SortFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bytes, b.Bytes))
	})
	for _, t := range order {
		if t.Offset != begin {
			return fmt.Errorf("gap or overlap at byte %d", begin)
		}
		begin += t.Bytes
	}
	if begin != size {
		return fmt.Errorf("%d bytes belong to no tensor", size-begin)
	}
	return nil
}
