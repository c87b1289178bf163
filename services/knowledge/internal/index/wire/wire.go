package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// ErrDamaged says that a stream is not what a Writer wrote.
var ErrDamaged = errors.New("damaged")

// A block is its length, its number, that many bytes, and the checksum of all
// three. The last one is empty.
const (
	blockSize = 1 << 18
	headSize  = 8
	sumSize   = 4
)

var table = crc32.MakeTable(crc32.Castagnoli)

// Writer writes a stream. It must be ended by [Writer.Close].
type Writer struct {
	w      io.Writer
	block  []byte // with room for its head
	number uint32
	err    error
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, block: make([]byte, headSize, headSize+blockSize+sumSize)}
}

// Err is the first error.
func (w *Writer) Err() error { return w.err }

// Close writes the end of the stream and returns the first error.
func (w *Writer) Close() error {
	if len(w.block) > headSize {
		w.flush()
	}
	w.flush()
	return w.err
}

func (w *Writer) flush() {
	if w.err != nil {
		w.block = w.block[:headSize]
		return
	}
	binary.LittleEndian.PutUint32(w.block, uint32(len(w.block)-headSize))
	binary.LittleEndian.PutUint32(w.block[4:], w.number)
	w.block = binary.LittleEndian.AppendUint32(w.block, crc32.Checksum(w.block, table))
	_, w.err = w.w.Write(w.block)
	w.number++
	w.block = w.block[:headSize]
}

// room makes sure that n more bytes fit into the block.
func (w *Writer) room(n int) {
	if len(w.block)+n > headSize+blockSize {
		w.flush()
	}
}

// Uint writes a number in as many bytes as it needs.
func (w *Writer) Uint(v uint64) {
	w.room(binary.MaxVarintLen64)
	w.block = binary.AppendUvarint(w.block, v)
}

// Int writes a number that may be below zero.
func (w *Writer) Int(v int64) {
	w.room(binary.MaxVarintLen64)
	w.block = binary.AppendVarint(w.block, v)
}

// Float writes a number exactly.
func (w *Writer) Float(v float64) {
	w.room(8)
	w.block = binary.LittleEndian.AppendUint64(w.block, math.Float64bits(v))
}

// Bytes writes the bytes of b and not their number.
func (w *Writer) Bytes(b []byte) {
	for len(b) > 0 {
		w.room(1)
		n := min(len(b), headSize+blockSize-len(w.block))
		w.block = append(w.block, b[:n]...)
		b = b[n:]
	}
}

// String writes s with its length.
func (w *Writer) String(s string) {
	w.Uint(uint64(len(s)))
	w.Bytes([]byte(s))
}

// Floats writes the elements of v and not their number.
func (w *Writer) Floats(v []float32) {
	for len(v) > 0 {
		w.room(4)
		n := min(len(v), (headSize+blockSize-len(w.block))/4)
		for _, e := range v[:n] {
			w.block = binary.LittleEndian.AppendUint32(w.block, math.Float32bits(e))
		}
		v = v[n:]
	}
}

// Codes writes the elements of v and not their number.
func (w *Writer) Codes(v []int8) {
	for len(v) > 0 {
		w.room(1)
		n := min(len(v), headSize+blockSize-len(w.block))
		for _, e := range v[:n] {
			w.block = append(w.block, byte(e))
		}
		v = v[n:]
	}
}

// Reader reads a stream. What it reads is that of the Writer, in the same
// order.
type Reader struct {
	r      io.Reader
	buf    []byte
	block  []byte // what is left of it
	left   int64  // of the stream, behind the block
	number uint32
	ended  bool
	err    error
}

// NewReader returns a Reader of a stream of size bytes.
func NewReader(r io.Reader, size int64) *Reader { return &Reader{r: r, left: size} }

// Err is the first error.
func (r *Reader) Err() error { return r.err }

// Fail ends the reading: what was read makes no sense.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
	r.block = nil
}

// Close reads the end of the stream, behind which there must be nothing, and
// returns the first error.
func (r *Reader) Close() error {
	if r.err == nil {
		if len(r.block) > 0 {
			r.Fail("%d bytes too many in block %d", len(r.block), r.number)
		} else if r.next(); r.err == nil && !r.ended {
			r.Fail("no end behind block %d", r.number)
		} else if r.err == nil && r.left != 0 {
			r.Fail("%d bytes behind the end", r.left)
		}
	}
	return r.err
}

// next reads a block.
func (r *Reader) next() {
	if r.err != nil {
		return
	}
	if r.ended {
		r.Fail("read on behind the end")
		return
	}
	if r.buf == nil {
		r.buf = make([]byte, headSize+blockSize+sumSize)
	}
	if r.left < headSize+sumSize {
		r.Fail("cut in block %d", r.number)
		return
	}
	head := r.buf[:headSize]
	if _, err := io.ReadFull(r.r, head); err != nil {
		r.broken(err)
		return
	}
	n := int64(binary.LittleEndian.Uint32(head))
	if n > blockSize || binary.LittleEndian.Uint32(head[4:]) != r.number || headSize+n+sumSize > r.left {
		r.Fail("the head of block %d", r.number)
		return
	}
	all := r.buf[:headSize+n+sumSize]
	if _, err := io.ReadFull(r.r, all[headSize:]); err != nil {
		r.broken(err)
		return
	}
	if crc32.Checksum(all[:headSize+n], table) != binary.LittleEndian.Uint32(all[headSize+n:]) {
		r.Fail("the checksum of block %d", r.number)
		return
	}
	r.block, r.ended = all[headSize:headSize+n], n == 0
	r.left -= headSize + n + sumSize
	r.number++
}

func (r *Reader) broken(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.Fail("cut in block %d", r.number)
		return
	}
	r.err, r.block = err, nil
}

// whole is the next n bytes, which a Writer has put into one block; nil after
// an error.
func (r *Reader) whole(n int) []byte {
	if len(r.block) == 0 {
		r.next()
	}
	if len(r.block) < n {
		r.Fail("a number across blocks")
		return nil
	}
	b := r.block[:n]
	r.block = r.block[n:]
	return b
}

// Uint reads what [Writer.Uint] wrote.
func (r *Reader) Uint() uint64 {
	if len(r.block) == 0 {
		r.next()
	}
	v, n := binary.Uvarint(r.block)
	if n <= 0 {
		r.Fail("a number")
		return 0
	}
	r.block = r.block[n:]
	return v
}

// Int reads what [Writer.Int] wrote.
func (r *Reader) Int() int64 {
	if len(r.block) == 0 {
		r.next()
	}
	v, n := binary.Varint(r.block)
	if n <= 0 {
		r.Fail("a number")
		return 0
	}
	r.block = r.block[n:]
	return v
}

// Below reads a number that is less than limit.
func (r *Reader) Below(limit int) int {
	v := r.Uint()
	if r.err == nil && v >= uint64(max(limit, 0)) {
		r.Fail("%d where less than %d can be", v, limit)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

// Uint32 reads a number of at most 32 bits.
func (r *Reader) Uint32() uint32 {
	v := r.Uint()
	if v > math.MaxUint32 {
		r.Fail("%d where 32 bits can be", v)
		return 0
	}
	return uint32(v)
}

// Count reads how many things follow, of which each takes at least size bytes.
func (r *Reader) Count(size int) int {
	v := r.Uint()
	if r.err == nil && v > uint64(int64(len(r.block))+r.left)/uint64(max(size, 1)) {
		r.Fail("%d things in %d bytes", v, int64(len(r.block))+r.left)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

// Float reads what [Writer.Float] wrote.
func (r *Reader) Float() float64 {
	b := r.whole(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// Bytes fills b.
func (r *Reader) Bytes(b []byte) {
	for len(b) > 0 {
		if len(r.block) == 0 {
			r.next()
		}
		if r.short() {
			return
		}
		n := copy(b, r.block)
		b, r.block = b[n:], r.block[n:]
	}
}

// short reports whether there is nothing more, though something is wanted.
func (r *Reader) short() bool {
	if r.err == nil && len(r.block) == 0 {
		r.Fail("less than was promised")
	}
	return r.err != nil
}

// String reads what [Writer.String] wrote.
func (r *Reader) String() string {
	b := make([]byte, r.Count(1))
	r.Bytes(b)
	return string(b)
}

// Floats fills v.
func (r *Reader) Floats(v []float32) {
	for len(v) > 0 {
		if len(r.block) == 0 {
			r.next()
		}
		if r.short() {
			return
		}
		n := min(len(v), len(r.block)/4)
		if n == 0 {
			r.Fail("a number across blocks")
			return
		}
		b := r.block[:4*n]
		for i := range v[:n] {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		v, r.block = v[n:], r.block[4*n:]
	}
}

// Codes fills v.
func (r *Reader) Codes(v []int8) {
	for len(v) > 0 {
		if len(r.block) == 0 {
			r.next()
		}
		if r.short() {
			return
		}
		n := min(len(v), len(r.block))
		for i, e := range r.block[:n] {
			v[i] = int8(e)
		}
		v, r.block = v[n:], r.block[n:]
	}
}

// Left is how many bytes can still be read, at most.
func (r *Reader) Left() int { return len(r.block) + int(r.left) }
