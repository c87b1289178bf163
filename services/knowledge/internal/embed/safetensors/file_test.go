package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTablesComeBackAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	tables := []safetensors.Table{
		{Name: "a", Shape: []int{2, 3}, Floats: []float32{1, 2, 3, 4, 5, 6}},
		{Name: "b", Shape: []int{1}, Floats: []float32{-7.5}},
		{Name: "none", Shape: []int{0, 4}},
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, tables); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(write(t, b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range tables {
		got, err := f.Read(want.Name, want.Shape...)
		if err != nil || !slices.Equal(got, want.Floats) {
			t.Errorf("read %s: %v, %v", want.Name, got, err)
		}
		m, err := f.Map(want.Name, want.Shape...)
		if err != nil || !slices.Equal(m.Floats, want.Floats) {
			t.Errorf("map %s: %v, %v", want.Name, m, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if x, ok := f.Tensor("a"); !ok || x.Len() != 6 || x.Bytes != 24 {
		t.Errorf("a is %+v", x)
	}
	if _, err := f.Read("a", -1, 3); err != nil {
		t.Errorf("any number of rows: %v", err)
	}
	for _, c := range []struct {
		name  string
		shape []int
	}{{"c", nil}, {"a", []int{3, 2}}, {"a", []int{6}}} {
		if _, err := f.Read(c.name, c.shape...); err == nil {
			t.Errorf("%s %v was read", c.name, c.shape)
		}
		if _, err := f.Map(c.name, c.shape...); err == nil {
			t.Errorf("%s %v was mapped", c.name, c.shape)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestATableAtAnOddAddressIsRead(t *testing.T) {
	t.Parallel()
	h := `{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}`
	f, err := safetensors.Open(write(t, raw(h, 9)))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := f.Map("y", 2); err != nil || len(m.Floats) != 2 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := f.Map("x", 1); err == nil {
		t.Error("bytes were mapped as numbers")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFileThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"empty":            nil,
		"only a length":    raw("", 0)[:8],
		"long header":      binary.LittleEndian.AppendUint64(nil, 1<<40),
		"negative header":  binary.LittleEndian.AppendUint64(nil, 1<<63),
		"cut header":       raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4)[:30],
		"not JSON":         raw("{]", 0),
		"not an object":    raw("[]", 0),
		"no table":         raw(`{"a":1}`, 0),
		"unknown type":     raw(`{"a":{"dtype":"F12","shape":[1],"data_offsets":[0,4]}}`, 4),
		"past the end":     raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4),
		"backwards":        raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, 8),
		"negative offset":  raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-4,4]}}`, 8),
		"wrong shape":      raw(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}`, 4),
		"negative shape":   raw(`{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}`, 4),
		"shape overflows":  raw(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,1],"data_offsets":[0,0]}}`, 0),
		"product overflow": raw(`{"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647,4],"data_offsets":[0,0]}}`, 0),
		"overlap":          raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
		"gap":              raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"bytes left over":  raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8),
	} {
		if f, err := safetensors.Open(write(t, b)); err == nil {
			t.Errorf("%s: opened %v", name, f)
		} else if strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := safetensors.Open(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing file was opened")
	}
}

func FuzzHeaderStaysInsideTheFile(f *testing.F) {
	f.Add(raw(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Add(raw(`{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}   `, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, err := safetensors.Header(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for name, x := range tensors {
			if x.Offset < 8 || x.Bytes < 0 || x.Offset+x.Bytes > int64(len(b)) || x.Len() < 0 || int64(x.Len()) > x.Bytes {
				t.Errorf("%q: %+v in %d bytes", name, x, len(b))
			}
		}
	})
}
