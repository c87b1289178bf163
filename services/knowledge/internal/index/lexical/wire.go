package lexical

import (
	"encoding/binary"
	"math"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

// Save writes the index as it is, removed passages with it: what is loaded
// ranks the same.
func (x *Index) Save(w *wire.Writer) {
	w.Uint(uint64(len(x.body)))
	x.alive.Save(w)
	for i := range x.body {
		w.Uint(uint64(x.body[i]))
		w.Uint(uint64(x.title[i]))
		w.Uint(uint64(len(x.order[i])))
	}
	w.Float(x.refBody)
	w.Float(x.refTtl)
	names, postings := 0, 0
	for i := range x.terms {
		names += len(x.terms[i].name)
		postings += len(x.terms[i].list)
	}
	w.Uint(uint64(len(x.terms)))
	w.Uint(uint64(names))
	w.Uint(uint64(postings))
	for i := range x.terms {
		e := &x.terms[i]
		w.String(e.name)
		w.Float(e.peak)
		w.Uint(uint64(len(e.list)))
		last := int64(-1)
		for _, p := range e.list {
			// Most are one word of the body, a few passages on.
			d := uint64(int64(p.slot)-last) << 1
			if p.body == 1 && p.title == 0 {
				w.Uint(d)
			} else {
				w.Uint(d | 1)
				w.Uint(uint64(p.body))
				w.Uint(uint64(p.title))
			}
			last = int64(p.slot)
		}
	}
	for _, o := range x.order {
		w.Bytes(o)
	}
}

// Load reads what [Index.Save] wrote into an empty index, and returns the
// number of its slots. The Reader's error says that the index cannot be used.
func (x *Index) Load(r *wire.Reader) (slots int) {
	n := r.Count(3)
	x.alive.Load(r, n)
	x.body, x.title, x.order = make([]uint32, n), make([]uint16, n), make([][]byte, n)
	lengths, text := make([]int, n), 0
	for i := range n {
		x.body[i] = r.Uint32()
		x.title[i] = uint16(r.Below(math.MaxUint16 + 1))
		lengths[i] = r.Count(1)
		text += lengths[i]
		if !x.alive.Has(uint32(i)) {
			x.dead++
			continue
		}
		x.n++
		x.sumBody += int(x.body[i])
		x.sumTtl += int(x.title[i])
	}
	x.refBody, x.refTtl = r.Float(), r.Float()
	x.loadTerms(r, n)
	if r.Err() == nil && text > r.Left() {
		r.Fail("%d bytes of words", text)
	}
	if r.Err() != nil {
		return 0
	}
	all := make([]byte, text)
	r.Bytes(all)
	for i, l := range lengths {
		if l > 0 {
			x.order[i], all = all[:l:l], all[l:]
		}
		x.check(r, uint32(i))
	}
	x.bytes += text + 30*n
	return n
}

func (x *Index) loadTerms(r *wire.Reader, slots int) {
	n, names, postings := r.Count(10), r.Count(1), r.Count(1)
	x.ids, x.terms = make(map[string]uint32, n), make([]term, n)
	arena := make([]posting, 0, postings)
	letters := make([]byte, 0, names)
	ends := make([]int, n)
	for i := range x.terms {
		l := r.Count(1)
		if len(letters)+l > names {
			r.Fail("more than %d bytes of names", names)
			return
		}
		letters = letters[:len(letters)+l]
		r.Bytes(letters[len(letters)-l:])
		ends[i] = len(letters)
		x.terms[i].peak = r.Float()
		count := r.Count(1)
		from := len(arena)
		if from+count > postings || x.terms[i].peak < 0 || math.IsNaN(x.terms[i].peak) {
			r.Fail("term %d", i)
			return
		}
		last := int64(-1)
		for range count {
			v := r.Uint()
			p := posting{body: 1}
			if v&1 != 0 {
				p.body, p.title = uint16(r.Below(math.MaxUint16+1)), uint16(r.Below(math.MaxUint16+1))
			}
			if d := v >> 1; d == 0 || d > uint64(slots) || last+int64(d) >= int64(slots) {
				r.Fail("a posting of term %d", i)
				return
			}
			last += int64(v >> 1)
			p.slot = uint32(last)
			arena = append(arena, p)
		}
		x.terms[i].list = arena[from:len(arena):len(arena)]
		x.bytes += l + 96 + 10*count
	}
	text, from := string(letters), 0
	for i := range x.terms {
		x.terms[i].name = text[from:ends[i]]
		x.ids[x.terms[i].name] = uint32(i)
		from = ends[i]
	}
	if len(x.ids) != n {
		r.Fail("a term twice")
	}
}

// check makes sure that the words of a passage are numbers of terms, with one
// break between title and body.
func (x *Index) check(r *wire.Reader, slot uint32) {
	text, breaks := x.order[slot], 0
	for len(text) > 0 {
		v, n := binary.Uvarint(text)
		if n <= 0 || v >= firstTerm && v-firstTerm >= uint64(len(x.terms)) {
			r.Fail("the words of passage %d", slot)
			return
		}
		if text = text[n:]; v == 0 {
			breaks++
		}
	}
	if want := x.alive.Has(slot); want != (breaks == 1) || !want && len(x.order[slot]) > 0 {
		r.Fail("the words of passage %d", slot)
	}
}
