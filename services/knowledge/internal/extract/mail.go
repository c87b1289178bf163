package extract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jhillyerd/enmime/v2"
	"github.com/jhillyerd/enmime/v2/mediatype"
	"golang.org/x/net/html/charset"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Bounds of a message within messages.
const (
	maxMails       = 4   // messages within each other
	maxAttachments = 100 // that are read, of a message and of those within it
)

// charsetReader decodes what is not in UTF-8.
func charsetReader(label string, in io.Reader) (io.Reader, error) {
	return charset.NewReaderLabel(label, in)
}

// Bounds of the structure of a message.
const (
	maxGroups    = 16   // multiparts, within each other or not; people's have three
	maxMailParts = 1000 // parts of all groups
)

// mailShape counts the parts of a message as the parser comes to them. The time
// that the parser takes at the end of a group which has no end doubles with each
// group around it, and a context does not reach it there; so it is shown no more
// groups than are allowed.
type mailShape struct {
	ctx           context.Context
	parts, groups int
}

func (s *mailShape) mediaType(ctype string) (kind string, params map[string]string, invalid []string, err error) {
	kind, params, invalid, err = mediatype.Parse(ctype)
	s.parts++
	if _, group := params["boundary"]; group {
		s.groups++
	}
	if s.over() || s.ctx.Err() != nil {
		return "application/octet-stream", nil, nil, nil //nolint:nilerr // shown as what is not looked into
	}
	return kind, params, invalid, err
}

func (s *mailShape) over() bool { return s.groups > maxGroups || s.parts > maxMailParts }

// parser goes on after what is malformed, as mail programs do, and leaves the
// reading of HTML to this package.
func (s *mailShape) parser() *enmime.Parser {
	return enmime.NewParser(enmime.SkipMalformedParts(true), enmime.DisableTextConversion(true), enmime.SetCustomParseMediaType(s.mediaType))
}

// mail reads a message (RFC 5322, MIME): who wrote to whom, when and about
// what, its text, and those of its attachments that can be read. Of a message
// in plain text and HTML the plain text counts.
func (t *Text) mail(ctx context.Context, r *Reader, data []byte, depth int) error {
	shape := &mailShape{ctx: ctx}
	m, err := shape.parser().ReadEnvelope(&cancellable{ctx: ctx, r: bytes.NewReader(data)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if shape.over() {
		return tooMuch(fmt.Sprintf("more than %d parts, or %d groups of them", maxMailParts, maxGroups))
	}
	if err != nil {
		return damaged(Format{Kind: Mail}, err)
	}
	t.Title = m.GetHeader("Subject")
	var head strings.Builder
	for _, name := range []string{"From", "To", "Cc", "Date", "Subject"} {
		if v := oneLine(m.GetHeader(name), 2000); v != "" {
			fmt.Fprintf(&head, "%s: %s\n", name, v)
		}
	}
	t.add(Meta, head.String(), nil, 0)
	switch {
	case strings.TrimSpace(m.Text) != "":
		err = t.plain(ctx, normalise(m.Text))
	case m.HTML != "":
		title := t.Title
		err = t.html(ctx, normalise(m.HTML))
		if title != "" {
			t.Title = title
		}
	}
	if err != nil {
		return err
	}
	for _, parts := range [][]*enmime.Part{m.Attachments, m.OtherParts} {
		for _, p := range parts {
			if t.left.attachments--; t.left.attachments < 0 {
				return nil
			}
			if err := t.attachment(ctx, r, p, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// attachment reads one attachment below a heading with its name. What cannot be
// read is named, for people search for the names of files too.
func (t *Text) attachment(ctx context.Context, r *Reader, p *enmime.Part, depth int) error {
	name := oneLine(p.FileName, 200)
	if name == "" {
		name = p.ContentType
	}
	path := []string{name}
	t.add(Heading, name, path, 0)
	f, err := Detect(p.FileName, p.ContentType, p.Content)
	if err != nil || (f.Kind == Mail && depth >= maxMails) {
		return nil //nolint:nilerr // a picture, a program: not text
	}
	before := t.left.text
	inner, err := r.extract(ctx, f, p.FileName, p.Content, t.left, depth+1)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && errs.KindOf(err).Refusal():
		t.left.text = before
		return nil // an attachment that is damaged, or too large, does not damage the message
	case err != nil:
		return err
	}
	t.left.text = before // it is counted as a part of this text
	defer func() { t.page = 0 }()
	for _, b := range inner.Blocks {
		t.page = b.Page // of the attachment
		t.add(b.Kind, b.Text, append(path[:1:1], b.Path...)[:min(len(b.Path)+1, MaxPath)], b.Line)
	}
	return nil
}
