package memory

import (
	"fmt"
	"io"
	"math"
	"os"
	"unsafe"
)

// Region is a run of float32 numbers. Whoever made it closes it, after the
// last use.
type Region struct {
	Floats []float32
	free   func() error
}

// Close gives the memory back. Reading Floats afterwards crashes the process.
func (r *Region) Close() error {
	if r == nil || r.free == nil {
		return nil
	}
	free := r.free
	r.free, r.Floats = nil, nil
	return free()
}

// Int8s is the memory of Floats, seen as bytes.
func (r *Region) Int8s() []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(r.Floats))), 4*len(r.Floats))
}

// Alloc makes a region of n zeros.
func Alloc(n int) (*Region, error) {
	if n <= 0 {
		return &Region{}, nil
	}
	if n > math.MaxInt/4 {
		return nil, fmt.Errorf("allocate %d numbers: too many", n)
	}
	b, free, err := alloc(4 * n)
	if err != nil {
		return nil, fmt.Errorf("allocate %d numbers: %w", n, err)
	}
	if b == nil {
		return &Region{Floats: make([]float32, n)}, nil
	}
	return &Region{Floats: floats(b), free: free}, nil
}

// Map shows n little-endian numbers of f, from byte offset on, a multiple of
// 4. The file's pages are read when touched, and the system may drop them
// again; f may be closed. The file must not become shorter while it is mapped.
func Map(f *os.File, offset int64, n int) (*Region, error) {
	if n <= 0 {
		return &Region{}, nil
	}
	if offset < 0 || offset%4 != 0 || n > math.MaxInt/8 {
		return nil, fmt.Errorf("map %d numbers at %d: out of range", n, offset)
	}
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() < offset+4*int64(n) {
		return nil, fmt.Errorf("map %d numbers at %d: %w", n, offset, io.ErrUnexpectedEOF)
	}
	if littleEndian() {
		// A mapping begins at a page; the largest page in use is 64 KiB.
		const page = 64 << 10
		start := offset / page * page
		skip := int(offset - start)
		// Some file systems cannot: then the numbers are read.
		if b, free, err := mapFile(f, start, skip+4*n); err == nil {
			return &Region{Floats: floats(b[skip:]), free: free}, nil
		}
	}
	return read(f, offset, n)
}

// read is Map where files cannot be mapped.
func read(f *os.File, offset int64, n int) (*Region, error) {
	r := &Region{Floats: make([]float32, n)}
	if err := ReadAt(f, offset, r.Floats); err != nil {
		return nil, err
	}
	return r, nil
}

// ReadAt fills dst with little-endian numbers of f, from byte offset on.
func ReadAt(f io.ReaderAt, offset int64, dst []float32) error {
	buf := make([]byte, min(4*len(dst), 1<<18))
	for len(dst) > 0 {
		b := buf[:min(len(buf), 4*len(dst))]
		// A full buffer counts even when the end comes with it.
		if n, err := f.ReadAt(b, offset); n < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		for i := range len(b) / 4 {
			dst[i] = math.Float32frombits(uint32(b[4*i]) | uint32(b[4*i+1])<<8 | uint32(b[4*i+2])<<16 | uint32(b[4*i+3])<<24)
		}
		dst, offset = dst[len(b)/4:], offset+int64(len(b))
	}
	return nil
}

func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func littleEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}
