package instance

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Heartbeat is what an instance says of itself.
type Heartbeat struct {
	Slug      string // lower case
	HubURL    string // http(s), "" when it gave none that can be used
	Namespace string // hub.<slug>, "" when it gave none
	Version   string // of its product
	Degraded  bool   // it says so itself
	Sent      time.Time
}

// Reasons to refuse a heartbeat. They are counted, never answered.
var (
	ErrUnreadable = errors.New("no heartbeat in any known form")
	ErrForeign    = errors.New("the subject names another instance than the body")
	ErrClock      = errors.New("the time is more than five minutes off")
)

// maxSkew is how far a sender's clock may be off, either way.
const maxSkew = 5 * time.Minute

var (
	slugPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,99}$`)
	ownSlug     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,49}$`)
)

// ValidSlug reports whether an instance may call itself so. Older instances
// with other names are still heard.
func ValidSlug(s string) bool { return ownSlug.MatchString(s) }

// Decode reads a heartbeat that came on hub.presence.<token> at now. It reads
// the flat form, the two envelopes of older emitters (the fields under
// "payload"), either of them encoded twice (a JSON string, or base64 of JSON),
// and the form of the prototype, which has hubId.
func Decode(token string, data []byte, now time.Time) (Heartbeat, error) {
	var hb Heartbeat
	f, err := findFields(data, 0)
	if err != nil {
		return hb, err
	}
	hb.Slug = strings.ToLower(f.slug)
	if !slugPattern.MatchString(hb.Slug) {
		return hb, fmt.Errorf("%w: slug %.60q", ErrUnreadable, f.slug)
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
		if d := now.Sub(hb.Sent); d > maxSkew || d < -maxSkew {
			return hb, fmt.Errorf("%w: %s", ErrClock, hb.Sent.Format(time.RFC3339))
		}
	}
	if u, err := url.Parse(f.hubURL); err == nil && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https") && len(f.hubURL) <= 500 {
		hb.HubURL = f.hubURL
	}
	hb.Version = cut(f.version, 100)
	hb.Degraded = strings.EqualFold(f.status, string(Degraded))
	return hb, nil
}

// body is the union of the forms on the wire. Values are read one by one, so
// that a wrong type in one of them does not lose the rest.
type body struct {
	slug, hubURL, namespace, timestamp, version, status string
}

// findFields unwraps at most three layers: an envelope whose payload was
// encoded twice.
func findFields(data []byte, depth int) (body, error) {
	if depth > 3 {
		return body{}, ErrUnreadable
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		if inner := []byte(text); json.Valid(inner) {
			return findFields(inner, depth+1)
		}
		inner, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return body{}, ErrUnreadable
		}
		return findFields(inner, depth+1)
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil || m == nil {
		return body{}, ErrUnreadable
	}
	if slug := str(m, "project_slug"); slug != "" {
		return body{slug: slug, hubURL: str(m, "hub_url"), namespace: str(m, "mesh_namespace"), timestamp: str(m, "timestamp"),
			version: str(m, "version"), status: str(m, "status")}, nil
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

func str(m map[string]json.RawMessage, key string) string {
	var s string
	if json.Unmarshal(m[key], &s) != nil {
		return ""
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

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// Encode writes the heartbeat in the flat form that instances of every version
// read.
func (hb Heartbeat) Encode() ([]byte, error) {
	status := Online
	if hb.Degraded {
		status = Degraded
	}
	return json.Marshal(map[string]any{
		"project_slug":   hb.Slug,
		"hub_url":        hb.HubURL,
		"mesh_namespace": "hub." + hb.Slug,
		"timestamp":      hb.Sent.UTC().Format("2006-01-02T15:04:05.000000-07:00"),
		"version":        hb.Version,
		"status":         string(status),
	})
}
