package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
)

// Table is a table of float32 to write.
type Table struct {
	Name   string
	Shape  []int
	Floats []float32
}

// Write writes tables in their order.
func Write(w io.Writer, tables []Table) error {
	type entry struct {
		Type    string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	head := make(map[string]entry, len(tables))
	var at int64
	for _, t := range tables {
		n := 4 * int64(len(t.Floats))
		head[t.Name] = entry{"F32", t.Shape, [2]int64{at, at + n}}
		at += n
	}
	b, err := json.Marshal(head)
	if err != nil {
		return err
	}
	for len(b)%8 != 0 { // so that the numbers are aligned
		b = append(b, ' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	out = append(out, b...)
	for _, t := range tables {
		for _, v := range t.Floats {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	_, err = w.Write(out)
	return err
}
