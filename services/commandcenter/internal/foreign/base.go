package foreign

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

// Record is one text of a knowledge base: a document, or a piece of one.
type Record struct {
	ID   string
	Text string
	Meta map[string]any // never used as anything but a hint
}

// Base is what one export, or one collection, holds.
type Base struct {
	Name    string
	Records []Record
}

// Bounds of what is read at a time.
const (
	MaxText    = 1 << 30   // bytes of texts
	MaxRecords = 2_000_000 // of all bases
	maxOverlap = 2_000     // bytes that pieces of one document may have in common
	minOverlap = 16
	maxName    = 900 // bytes; the contract takes 1,024
)

// Why a record becomes no document.
const (
	reasonNoText   = "has no text"
	reasonTooLarge = "larger than 20 MiB"
)

// Documents makes the documents of a base: records that name the same source are its
// pieces, and are put together in their order, without what they have in common at
// their ends. Each is named base/source.
func (b Base) Documents() (files []ingest.File, skipped []ingest.Skipped) {
	var order []string
	pieces := map[string][]Record{}
	for i, r := range b.Records {
		if strings.TrimSpace(r.Text) == "" {
			skipped = append(skipped, ingest.Skipped{Name: b.named(cmp.Or(r.ID, strconv.Itoa(i))), Reason: reasonNoText})
			continue
		}
		name := b.named(cmp.Or(first(r.Meta, "file_path", "path", "source", "filename", "file_name", "url"), r.ID, strconv.Itoa(i)))
		if pieces[name] == nil {
			order = append(order, name)
		}
		pieces[name] = append(pieces[name], r)
	}
	for _, name := range order {
		all := pieces[name]
		slices.SortStableFunc(all, func(a, b Record) int { return cmp.Compare(place(a.Meta), place(b.Meta)) })
		text := joined(all)
		if len(text) > ingest.MaxSize {
			skipped = append(skipped, ingest.Skipped{Name: name, Reason: reasonTooLarge})
			continue
		}
		f := ingest.Bytes(name, []byte(text))
		f.Title = shortened(first(all[0].Meta, "title", "name"), 512)
		files = append(files, f)
	}
	return files, skipped
}

// joined are the texts of the pieces of one document.
func joined(pieces []Record) string {
	var out strings.Builder
	before := ""
	for i, p := range pieces {
		text := p.Text
		if i > 0 {
			if n := overlap(before, text); n > 0 {
				text = text[n:]
			} else {
				out.WriteString("\n\n")
			}
		}
		out.WriteString(text)
		before = p.Text
	}
	return out.String()
}

// overlap is how many bytes at the end of a are the beginning of b.
func overlap(a, b string) int {
	for n := min(len(a), len(b), maxOverlap); n >= minOverlap; n-- {
		if a[len(a)-n] == b[0] && a[len(a)-n:] == b[:n] {
			return n
		}
	}
	return 0
}

// named is the source name of a document that a base calls source. What is text
// without an ending, or the text of what was none, is read as Markdown.
func (b Base) named(source string) string {
	if _, rest, ok := strings.Cut(source, "://"); ok {
		source = rest
	}
	source = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(source, "_"), `\`, "/"))
	name := path.Join(strings.ReplaceAll(b.Name, "/", "_"), path.Join("/", source)) // no way up
	if len(name) > maxName {
		name = name[:maxName/2] + "…" + name[len(name)-maxName/2:]
		name = strings.ToValidUTF8(name, "_")
	}
	switch kind, ending := ingest.Kind(name), strings.ToLower(path.Ext(name)); {
	case kind == "code", ending == ".md", ending == ".txt", ending == ".rst", ending == ".adoc", ending == ".org":
		return name
	}
	return name + ".md"
}

// first is the first of the keys that has a text.
func first(meta map[string]any, keys ...string) string {
	for _, k := range keys {
		if s, ok := meta[k].(string); ok && strings.TrimSpace(s) != "" {
			return s
		}
	}
	return ""
}

// place is where a piece stands in its document; 0 where nothing tells.
func place(meta map[string]any) float64 {
	for _, k := range []string{"chunk_index", "chunk", "chunk_id", "index", "position", "seq"} {
		switch v := meta[k].(type) {
		case float64:
			return v
		case json.Number:
			if f, err := v.Float64(); err == nil {
				return f
			}
		case string:
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				return f
			}
		}
	}
	return 0
}

// shortened is s with at most n characters.
func shortened(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// budget counts what was read, over all bases.
type budget struct{ records, bytes int }

func (b *budget) take(records []Record) error {
	b.records += len(records)
	for _, r := range records {
		b.bytes += len(r.Text)
	}
	if b.records > MaxRecords || b.bytes > MaxText {
		return fmt.Errorf("more than %d records or %d MiB of text: import one collection after another", MaxRecords, MaxText>>20)
	}
	return nil
}
