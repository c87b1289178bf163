package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// MaxDepth is how deep objects and lists of a body may nest.
const MaxDepth = 64

// The refusals of a body that cannot be read at all.
var (
	ErrJSON  = errs.New(errs.Malformed, "the body is not valid JSON")
	ErrUTF8  = errs.New(errs.Malformed, "the body is not valid UTF-8")
	ErrDepth = errs.New(errs.Malformed, "the body nests too deeply")
)

// decode reads one JSON value and nothing after it. Numbers stay text, so that
// no digit is lost.
func decode(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, ErrUTF8
	}
	if tooDeep(b, MaxDepth) {
		return nil, ErrDepth
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, ErrJSON.Because(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, ErrJSON
	}
	return v, nil
}

// tooDeep looks before the decoder recurses.
func tooDeep(b []byte, most int) bool {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
