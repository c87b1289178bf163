package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// FuzzOperations makes calls out of bytes: an operation of the contract, and for
// each of its parameters and fields something that fits, that nearly does, or
// that does not. Whatever it is, the answer is one of the contract's: see
// [attacker.judge]. `make fuzz` runs it for as long as asked; a find is kept in
// testdata/fuzz and tried at every test from then on.
func FuzzOperations(f *testing.F) {
	a := newAttacker(f, here(f, dataDir(f), "--no-sample"))
	for i := range a.ops { // each operation at least three times, with choices of other kinds
		for kind := range 3 {
			f.Add(append([]byte{byte(i >> 8), byte(i)}, strings.Repeat(string(rune('!'+2*i%90))+strings.Repeat(string(rune('0'+3*kind)), 1+kind)+"seed", 30)...))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b := &bytesOf{in: in}
		op := a.ops[b.below(len(a.ops))]
		if op.delivery == "live" && op.id != "followEvents" {
			return // its answer has no end
		}
		a.send(t, b.call(a, op))
	})
}

// bytesOf turns input into choices; when it is at its end, all are the first.
type bytesOf struct{ in []byte }

func (b *bytesOf) next() byte {
	if len(b.in) == 0 {
		return 0
	}
	c := b.in[0]
	b.in = b.in[1:]
	return c
}

func (b *bytesOf) below(n int) int { return (int(b.next())<<8 | int(b.next())) % n }

// text takes up to 64 bytes as they are.
func (b *bytesOf) text() string {
	n := min(int(b.next())%65, len(b.in))
	s := string(b.in[:n])
	b.in = b.in[n:]
	return s
}

// word is a string for a place that has a sample.
func (b *bytesOf) word(sample string) string {
	switch b.next() % 6 {
	case 0, 1:
		return sample
	case 2:
		return injections[b.below(len(injections))]
	case 3:
		return b.text()
	case 4:
		return sample + b.text()
	}
	return []string{"0", "-1", "1", "2", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "1.5", "true", "", " ", "1e9", "2026-13-45T99:99:99Z"}[b.below(14)]
}

// value is JSON for a schema that may not take it.
func (b *bytesOf) value(s *openapi3.Schema, depth int) any {
	switch b.next() % 8 {
	case 0:
		return []any{nil, true, 0, -1, 1.5, 1e300, "", []any{}, map[string]any{}, "x", json.Number("123456789012345678901234567890")}[b.below(11)]
	case 1:
		if depth < 3 {
			return []any{b.value(s, depth+1)}
		}
	}
	switch {
	case s == nil:
		return b.text()
	case s.Type.Is("object"):
		out := map[string]any{}
		for _, name := range sortedNames(s.Properties) {
			if b.next()%5 > 0 && depth < 4 {
				out[name] = b.value(s.Properties[name].Value, depth+1)
			}
		}
		if b.next()%8 == 7 {
			out[b.text()] = b.text()
		}
		return out
	case s.Type.Is("array") && s.Items != nil:
		out := []any{}
		for range b.next() % 4 {
			out = append(out, b.value(s.Items.Value, depth+1))
		}
		return out
	case s.Type.Is("integer"), s.Type.Is("number"):
		return []any{0, 1, 2, 50, 100, -1, 1 << 31, 1 << 53, 0.5}[b.below(9)]
	case s.Type.Is("boolean"):
		return b.next()%2 == 0
	}
	sample, _ := sampleOf(s, 0).(string)
	return b.word(sample)
}

func (b *bytesOf) call(a *attacker, op attackedOp) attackCall {
	c := a.fresh(op)
	for _, ref := range op.params {
		p := ref.Value
		sample, _ := json.Marshal(sampleOf(p.Schema.Value, 0)) // made of JSON values
		text := strings.Trim(string(sample), `"`)
		switch p.In {
		case "path":
			if p.Name != "project_id" || op.method != http.MethodDelete { // the attacker needs its own
				c.path[p.Name] = b.word(c.path[p.Name])
			}
		case "query":
			for range b.next() % 3 {
				c.query.Add(p.Name, b.word(text))
			}
		case "header":
			if b.next()%3 == 0 {
				c.header.Add(p.Name, b.word(text))
			}
		}
	}
	if op.body != nil {
		switch b.next() % 6 {
		case 0:
			c.raw, c.rawMedia = []byte(b.text()), op.media
		case 1:
			whole, _ := json.Marshal(c.body) // made of JSON values
			c.raw, c.rawMedia = whole[:b.below(len(whole)+1)], op.media
		case 2:
		default:
			if v, ok := b.value(op.body, 0).(map[string]any); ok {
				c.body = v
			}
			c.file = b.word(c.file)
		}
	}
	switch b.next() % 16 {
	case 1:
		c.method = []string{"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST", "GET"}[b.below(8)]
		if c.method == http.MethodDelete || c.op.id == "deleteProject" {
			c.method = "TRACE"
		}
	case 2:
		c.header.Set("Accept", b.text())
	case 3:
		c.header.Set("Content-Type", b.text())
	case 4:
		c.query.Add(b.text(), b.text())
	case 5:
		c.header.Set("Authorization", "Bearer "+b.text())
	}
	return c
}

func sortedNames(m openapi3.Schemas) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
