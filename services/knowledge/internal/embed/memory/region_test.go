package memory

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// numbers writes n numbers 0, 0.5, 1 … after skip bytes.
func numbers(t *testing.T, skip, n int) *os.File {
	t.Helper()
	b := make([]byte, skip, skip+4*n)
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)/2))
	}
	path := filepath.Join(t.TempDir(), "numbers")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestMapShowsTheNumbersOfTheFileFromAnyOffset(t *testing.T) {
	t.Parallel()
	const n = 70000
	f := numbers(t, 68, n)
	for _, from := range []int{0, 1, 16383, 16384, n - 1} {
		for name, open := range map[string]func(*os.File, int64, int) (*Region, error){"map": Map, "read": read} {
			r, err := open(f, int64(68+4*from), n-from)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Floats) != n-from || r.Floats[0] != float32(from)/2 || r.Floats[n-from-1] != float32(n-1)/2 {
				t.Errorf("%s from %d: %v … (%d)", name, from, r.Floats[0], len(r.Floats))
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("closed twice: %v", err)
			}
		}
	}
}

func TestWhatTheFileDoesNotHoldIsAnError(t *testing.T) {
	t.Parallel()
	f := numbers(t, 0, 10)
	for _, c := range []struct {
		offset int64
		n      int
	}{{0, 11}, {4, 10}, {-4, 1}, {2, 1}, {0, math.MaxInt}} {
		if _, err := Map(f, c.offset, c.n); err == nil {
			t.Errorf("%d numbers at %d: mapped", c.n, c.offset)
		}
	}
	if err := ReadAt(f, 8, make([]float32, 9)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read past the end: %v", err)
	}
	if _, err := read(f, 8, 9); err == nil {
		t.Error("read past the end")
	}
	if r, err := Map(f, 0, 0); err != nil || len(r.Floats) != 0 {
		t.Errorf("nothing: %v, %v", r, err)
	}
}

func TestAllocMakesWritableZeros(t *testing.T) {
	t.Parallel()
	for _, n := range []int{5000, 2 << 20} {
		r, err := Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Floats) != n {
			t.Fatalf("%d numbers, want %d", len(r.Floats), n)
		}
		for i, v := range r.Floats {
			if v != 0 {
				t.Fatalf("%d is %v", i, v)
			}
			r.Floats[i] = 1
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Alloc(0); err != nil || r.Close() != nil {
		t.Error("an empty region is allowed")
	}
	if _, err := Alloc(math.MaxInt / 2); err == nil {
		t.Error("more than the address space was allocated")
	}
}
