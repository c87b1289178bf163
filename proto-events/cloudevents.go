package events

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
)

// The names of the headers, as the NATS protocol binding of CloudEvents 1.0
// spells them in binary mode.
const (
	HeaderSpecVersion = "ce-specversion"
	HeaderID          = "ce-id"
	HeaderSource      = "ce-source"
	HeaderType        = "ce-type"
	HeaderSubject     = "ce-subject"
	HeaderTime        = "ce-time"
	HeaderDataSchema  = "ce-dataschema"
	HeaderVersion     = "ce-aggregateversion" // extension: version of the aggregate
	HeaderProject     = "ce-projectid"        // extension: decimal, 0 for the instance
	HeaderContentType = "content-type"
)

// SpecVersion is the version of CloudEvents that is written; any 1.x is read.
const SpecVersion = "1.0"

// Attributes are the CloudEvents attributes of one fact.
type Attributes struct {
	ID          string    // unique within Source; also the Nats-Msg-Id of the first time that it is published
	Source      string    // who said it, a URI reference: see Source
	Type        string    // full name of the message
	Subject     string    // id of the aggregate; may be empty
	Time        time.Time // when it happened
	DataSchema  string    // URI of the schema, which names the version of the form
	ContentType string    // of the data; empty means JSON
	Project     string    // decimal; 0 for the instance
	Version     string    // of the aggregate, decimal
}

// Source is the CloudEvents source of a service of an instance: a URI reference
// that stays the same over restarts. An empty instance is left out.
func Source(instance, service string) string {
	if instance == "" {
		return "/commandcenter/" + url.PathEscape(service)
	}
	return "/commandcenter/" + url.PathEscape(instance) + "/" + url.PathEscape(service)
}

// Schema is the URI of the JSON Schema of d; the file is schemas/<ID>.json.
func (d Description) Schema() string { return "urn:commandcenter:event:" + d.ID() }

// Headers is the header of a fact that Marshal wrote: its CloudEvents
// attributes and content type. It fails when the fact is one of [Any] and names
// no service, or when id or source is empty.
func Headers(m proto.Message, id, source string, at time.Time) (map[string][]string, error) {
	d, err := Describe(m)
	if err != nil {
		return nil, err
	}
	if d.Service == Any {
		return nil, fmt.Errorf("say %s: its field \"service\" is empty", d.Name)
	}
	k, err := Aggregate(m)
	if err != nil {
		return nil, err
	}
	a := Attributes{
		ID: id, Source: source, Type: string(d.Name), Subject: k.ID, Time: at, DataSchema: d.Schema(), ContentType: JSON,
		Project: fmt.Sprint(k.Project), Version: fmt.Sprint(k.Version),
	}
	if err := a.valid(); err != nil {
		return nil, fmt.Errorf("say %s: %w", d.Name, err)
	}
	return a.Header(), nil
}

// Header writes a in the form that nats.Header has underneath. Attributes that
// are empty are left out; values are percent-encoded as the binding asks.
func (a Attributes) Header() map[string][]string {
	h := map[string][]string{HeaderSpecVersion: {SpecVersion}}
	put := func(name, value string) {
		if value != "" {
			h[name] = []string{escape(value)}
		}
	}
	put(HeaderID, a.ID)
	put(HeaderSource, a.Source)
	put(HeaderType, a.Type)
	put(HeaderSubject, a.Subject)
	put(HeaderDataSchema, a.DataSchema)
	put(HeaderProject, a.Project)
	put(HeaderVersion, a.Version)
	if !a.Time.IsZero() {
		h[HeaderTime] = []string{a.Time.UTC().Format(time.RFC3339Nano)}
	}
	contentType := a.ContentType
	if contentType == "" {
		contentType = JSON
	}
	h[HeaderContentType] = []string{contentType}
	return h
}

// ParseAttributes reads the attributes from a header, whatever the case of its
// names. It fails when one that CloudEvents requires (id, source, type,
// specversion 1.x) is missing, or when the time cannot be read.
func ParseAttributes(header map[string][]string) (Attributes, error) {
	got := make(map[string]string, len(header))
	for name, values := range header {
		if len(values) > 0 {
			got[strings.ToLower(name)] = values[0]
		}
	}
	if v := got[HeaderSpecVersion]; !strings.HasPrefix(v, "1.") {
		return Attributes{}, fmt.Errorf("read event: CloudEvents version %q, want 1.x", v)
	}
	text := func(name string) string {
		plain, err := url.PathUnescape(got[name])
		if err != nil {
			return got[name] // written by somebody who does not encode
		}
		return plain
	}
	a := Attributes{
		ID: text(HeaderID), Source: text(HeaderSource), Type: text(HeaderType), Subject: text(HeaderSubject),
		DataSchema: text(HeaderDataSchema), Project: text(HeaderProject), Version: text(HeaderVersion),
		ContentType: got[HeaderContentType],
	}
	if at := got[HeaderTime]; at != "" {
		var err error
		if a.Time, err = time.Parse(time.RFC3339, at); err != nil {
			return Attributes{}, fmt.Errorf("read event: time: %w", err)
		}
	}
	if err := a.valid(); err != nil {
		return Attributes{}, fmt.Errorf("read event: %w", err)
	}
	return a, nil
}

func (a Attributes) valid() error {
	switch {
	case a.ID == "":
		return fmt.Errorf("no CloudEvents id")
	case a.Source == "":
		return fmt.Errorf("no CloudEvents source")
	case a.Type == "":
		return fmt.Errorf("no CloudEvents type")
	}
	return nil
}

// escape percent-encodes what the binding says cannot stand in a header value:
// everything outside printable ASCII, the space, the quote and the per cent
// sign.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
