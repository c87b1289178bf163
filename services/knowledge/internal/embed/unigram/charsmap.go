package unigram

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// charsmap is the table by which SentencePiece normalises: a double-array trie
// from sequences of bytes to places in a text, each of which a zero byte ends.
type charsmap struct {
	units []uint32
	texts string
}

// maxCluster is the length in bytes from which a cluster is not looked up as a
// whole.
const maxCluster = 6

// parseCharsmap reads the table: the size of the trie in bytes, the trie, and
// the texts, all little-endian.
func parseCharsmap(b []byte) (*charsmap, error) {
	if len(b) < 4 {
		return nil, errors.New("the table of characters is too short")
	}
	n := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; n%4 != 0 || n < 4 || n > len(b) {
		return nil, errors.New("the table of characters is damaged")
	}
	c := &charsmap{units: make([]uint32, n/4), texts: string(b[n:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if !utf8.ValidString(c.texts) {
		return nil, errors.New("the table of characters is damaged")
	}
	return c, nil
}

// The fields of a unit of the trie.
func hasLeaf(u uint32) bool  { return u>>8&1 == 1 }
func value(u uint32) uint32  { return u & (1<<31 - 1) }
func label(u uint32) uint32  { return u & (1<<31 | 0xff) }
func offset(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }

// lookup is the text that stands for key. As in the reference it is that of the
// shortest entry with which the key begins, whatever follows in the key.
func (c *charsmap) lookup(key string) (string, bool) {
	at := offset(c.units[0])
	for i := range len(key) {
		b := uint32(key[i])
		if at ^= b; b == 0 || int(at) >= len(c.units) {
			return "", false
		}
		u := c.units[at]
		if label(u) != b {
			return "", false
		}
		if at ^= offset(u); int(at) >= len(c.units) {
			return "", false
		}
		if hasLeaf(u) {
			from := int(value(c.units[at]))
			if from > len(c.texts) {
				return "", false
			}
			text, _, _ := strings.Cut(c.texts[from:], "\x00")
			return text, true
		}
	}
	return "", false
}

// normalise replaces what the table has an entry for: clusters of characters
// that are short, and single characters of the others.
func (c *charsmap) normalise(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	state := -1
	for text != "" {
		var cluster string
		// Between two letters of ASCII there is no doubt.
		if text[0] < utf8.RuneSelf && text[0] != '\r' && (len(text) == 1 || text[1] < utf8.RuneSelf) {
			cluster, text, state = text[:1], text[1:], -1
		} else {
			cluster, text, _, state = uniseg.FirstGraphemeClusterInString(text, state)
		}
		if len(cluster) < maxCluster {
			if s, ok := c.lookup(cluster); ok {
				out.WriteString(s)
				continue
			}
		}
		for i, r := range cluster {
			part := cluster[i : i+utf8.RuneLen(r)]
			if s, ok := c.lookup(part); ok {
				part = s
			}
			out.WriteString(part)
		}
	}
	return out.String()
}
