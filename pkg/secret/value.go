package secret

import (
	"fmt"
	"io"
	"log/slog"
	"unicode/utf8"
)

const hidden = "[secret]"

// Value is a secret in the clear. Only [Value.Reveal] and [Value.Masked] give
// anything of it away.
type Value struct{ b []byte }

// NewValue takes b over; the caller does not use it any more.
func NewValue(b []byte) Value { return Value{b} }

// Reveal returns the secret itself. The caller does not change it.
func (v Value) Reveal() []byte { return v.b }

// maskFrom is the least number of characters of which the last four are shown:
// twelve stay hidden.
const maskFrom = 16

// Masked is what people are shown: the last four characters, if it is long
// enough for that to tell nothing, and stars.
func (v Value) Masked() string {
	const stars = "********"
	if len(v.b) == 0 {
		return ""
	}
	if !utf8.Valid(v.b) || utf8.RuneCount(v.b) < maskFrom {
		return stars
	}
	r := []rune(string(v.b))
	return stars + string(r[len(r)-4:])
}

// String hides the secret.
func (Value) String() string { return hidden }

// GoString hides the secret.
func (Value) GoString() string { return hidden }

// Format hides the secret, whatever the verb.
func (Value) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, hidden) // as fmt does; there is nobody to tell
}

// MarshalText hides the secret; so does everything that marshals by it.
func (Value) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the secret.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalBinary hides the secret, from gob too.
func (Value) MarshalBinary() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the secret.
func (Value) LogValue() slog.Value { return slog.StringValue(hidden) }
