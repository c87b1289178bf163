package instance

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Reasons to refuse a heartbeat. They are counted, never answered.
var (
	ErrUnreadable = errors.New("no heartbeat in any known form")
	ErrReserved   = errors.New("the slug is reserved")
	ErrForeign    = errors.New("the subject names another instance than the body")
	ErrClock      = errors.New("the time is more than five minutes off")
	ErrSignature  = errors.New("the signature does not belong to what it signs")
)

// maxSkew is how far a sender's clock may be off, either way.
const maxSkew = 5 * time.Minute

// maxBody is the longest heartbeat that is read, in bytes.
const maxBody = 64 << 10

var (
	slugPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,99}$`)
	ownSlug     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,49}$`)
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	keyPattern  = regexp.MustCompile(`^[A-Z2-7]{56}$`)
	wordPattern = regexp.MustCompile(`^[a-z0-9._-]{1,40}$`)
)

// reserved are slugs that would be taken for the tokens of other subjects:
// hub.global.…, hub.presence.….
var reserved = []string{"global", "presence"}

// ValidSlug reports whether an instance may call itself so. Older instances
// with other names are still heard, but for the reserved ones.
func ValidSlug(s string) bool { return ownSlug.MatchString(s) && !slices.Contains(reserved, s) }

// Decode reads a heartbeat that came on hub.presence.<token>, at heard. It reads
// the flat form, the two envelopes of older emitters (the fields under
// "payload"), either of them encoded twice (a JSON string, or base64 of JSON,
// as a JSON string or bare), and the form of the prototype, which has hubId.
func Decode(token string, data []byte, heard time.Time) (Heartbeat, error) {
	hb := Heartbeat{Heard: heard}
	if len(data) > maxBody {
		return hb, fmt.Errorf("%w: %d bytes", ErrUnreadable, len(data))
	}
	f, err := findFields(data, 0)
	if err != nil {
		return hb, err
	}
	if f.hasNUL() {
		return hb, fmt.Errorf("%w: a NUL in it", ErrUnreadable) // no database keeps it
	}
	hb.Slug = strings.ToLower(f.slug)
	if !slugPattern.MatchString(hb.Slug) {
		return hb, fmt.Errorf("%w: slug %.60q", ErrUnreadable, f.slug)
	}
	if slices.Contains(reserved, hb.Slug) {
		return hb, fmt.Errorf("%w: %s", ErrReserved, hb.Slug)
	}
	if !strings.EqualFold(hb.Slug, token) {
		return hb, fmt.Errorf("%w: %.60q and %.60q", ErrForeign, token, f.slug)
	}
	if f.namespace != "" && f.namespace != "hub."+hb.Slug {
		return hb, fmt.Errorf("%w: mesh_namespace %.80q", ErrUnreadable, f.namespace)
	}
	hb.Namespace = f.namespace
	if f.timestamp != "" {
		if hb.Sent, err = parseTime(f.timestamp); err != nil {
			return hb, fmt.Errorf("%w: timestamp %.60q", ErrUnreadable, f.timestamp)
		}
		if d := heard.Sub(hb.Sent); d > maxSkew || d < -maxSkew {
			return hb, fmt.Errorf("%w: %s", ErrClock, hb.Sent.Format(time.RFC3339))
		}
	}
	if usableURL(f.hubURL) {
		hb.HubURL = f.hubURL
	}
	hb.Version, hb.Contract = printable(f.version, 100), printable(f.contract, 100)
	if idPattern.MatchString(f.id) {
		hb.ID = f.id
	}
	hb.Degraded = strings.EqualFold(f.status, string(Degraded)) || strings.EqualFold(f.health, string(Degraded))
	hb.Capabilities = words(f.capabilities)
	hb.extras(f)
	return hb, nil
}

// extras reads what instances of this product say beside the rest. What makes
// no sense is as if it had not been said.
func (hb *Heartbeat) extras(f body) {
	if n, err := strconv.ParseInt(f.sequence, 10, 64); err == nil && n > 0 {
		hb.Sequence = n
	}
	if n, err := strconv.ParseFloat(f.interval, 64); err == nil && n >= 1 && n <= maxInterval.Seconds() {
		hb.Interval = time.Duration(n * float64(time.Second))
	}
	if n, err := strconv.ParseFloat(f.load, 64); err == nil && n >= 0 && n <= 1 {
		hb.Load = &n
	}
	if keyPattern.MatchString(f.sealKey) {
		hb.SealKey = f.sealKey
	}
	if keyPattern.MatchString(f.key) && f.signature != "" {
		hb.Key, hb.Signature, hb.signed = f.key, f.signature, f.signed()
	}
}

// words are at most 20 of a list, those that are names.
func words(list []string) []string {
	var out []string
	for _, w := range list {
		if wordPattern.MatchString(w) && len(out) < 20 && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// body is the union of the forms on the wire. Values are read one by one, so
// that a wrong type in one of them does not lose the rest.
type body struct {
	slug, id, hubURL, namespace, timestamp, version, status string
	health, contract, key, sealKey, signature               string
	load, sequence, interval                                string // as they are written
	capabilities                                            []string
}

func (b body) hasNUL() bool {
	return strings.ContainsRune(strings.Join(append(b.texts(), b.signature), ""), 0)
}

// texts are what a signature covers, in its order.
func (b body) texts() []string {
	return []string{
		b.slug, b.hubURL, b.namespace, b.timestamp, b.version, b.status, b.id, strings.Join(b.capabilities, ","), b.health, b.load, b.contract,
		b.sequence, b.interval, b.key, b.sealKey,
	}
}

// signed is the text that is signed: the name of this form and the fields, each
// with its length in bytes before it, so that no two bodies have the same text.
// It does not depend on how the body was wrapped on its way.
func (b body) signed() string {
	var out strings.Builder
	for _, t := range append([]string{signedForm}, b.texts()...) {
		fmt.Fprintf(&out, "%d:%s,", len(t), t)
	}
	return out.String()
}

const signedForm = "commandcenter.presence.v1"

// findFields unwraps at most three layers: an envelope whose payload was
// encoded twice. Each layer has to be UTF-8: the JSON reader would replace
// what is not.
func findFields(data []byte, depth int) (body, error) {
	if depth > 3 || !utf8.Valid(data) {
		return body{}, ErrUnreadable
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		if inner := []byte(text); json.Valid(inner) {
			return findFields(inner, depth+1)
		}
		return findEncoded(text, depth)
	}
	if !json.Valid(data) {
		return findEncoded(string(data), depth)
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil || m == nil {
		return body{}, ErrUnreadable
	}
	if slug := str(m, "project_slug"); slug != "" {
		return body{
			slug: slug, id: str(m, "instance_id"), hubURL: str(m, "hub_url"), namespace: str(m, "mesh_namespace"), timestamp: str(m, "timestamp"),
			version: str(m, "version"), status: str(m, "status"), health: str(m, "health"), contract: str(m, "contract"),
			load: num(m, "load"), sequence: num(m, "sequence"), interval: num(m, "interval"), capabilities: list(m, "capabilities"),
			key: str(m, "key"), sealKey: str(m, "seal_key"), signature: str(m, "signature"),
		}, nil
	}
	if payload, ok := m["payload"]; ok {
		if b, err := findFields(payload, depth+1); err == nil {
			return b, nil
		}
	}
	if slug := str(m, "hubId"); slug != "" {
		return body{slug: slug, timestamp: str(m, "ts"), version: str(m, "version")}, nil
	}
	return body{}, ErrUnreadable
}

// findEncoded reads base64 in either alphabet, padded or not.
func findEncoded(text string, depth int) (body, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if inner, err := alphabet.DecodeString(text); err == nil {
			return findFields(inner, depth+1)
		}
	}
	return body{}, ErrUnreadable
}

func str(m map[string]json.RawMessage, key string) string {
	var s string
	if json.Unmarshal(m[key], &s) != nil {
		return ""
	}
	return s
}

// num is a number as it is written.
func num(m map[string]json.RawMessage, key string) string {
	var n json.Number
	if raw := m[key]; len(raw) == 0 || len(raw) > 32 || raw[0] == '"' || json.Unmarshal(raw, &n) != nil {
		return ""
	}
	return n.String()
}

func list(m map[string]json.RawMessage, key string) []string {
	var s []string
	if json.Unmarshal(m[key], &s) != nil {
		return nil
	}
	return s
}

// parseTime reads what emitters send: an offset, a Z, or neither, which means
// UTC.
func parseTime(s string) (time.Time, error) {
	s = strings.Replace(s, " ", "T", 1)
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	return time.Parse("2006-01-02T15:04:05.999999999", s)
}

// usableURL accepts what may be shown as a link and kept in a row.
func usableURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https") && len(s) <= 500 && printable(s, 500) == s
}

// printable returns at most so many bytes of what s has to show: no control
// character of it reaches somebody's terminal.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
