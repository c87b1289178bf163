package extract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html/charset"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Bounds of a message within messages.
const (
	maxMails       = 4   // messages within each other
	maxAttachments = 100 // of one message that are read
)

// charsetReader decodes what is not in UTF-8.
func charsetReader(label string, in io.Reader) (io.Reader, error) {
	return charset.NewReaderLabel(label, in)
}

// mailParser goes on after what is malformed, as mail programs do, and leaves
// the reading of HTML to this package.
var mailParser = enmime.NewParser(enmime.SkipMalformedParts(true), enmime.DisableTextConversion(true))

// mail reads a message (RFC 5322, MIME): who wrote to whom, when and about
// what, its text, and those of its attachments that can be read. Of a message
// in plain text and HTML the plain text counts.
func (t *Text) mail(ctx context.Context, r *Reader, data []byte, depth int) error {
	m, err := mailParser.ReadEnvelope(&cancellable{ctx: ctx, r: bytes.NewReader(data)})
	if ctx.Err() != nil {
		return ctx.Err()
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
	read := 0
	for _, parts := range [][]*enmime.Part{m.Attachments, m.OtherParts} {
		for _, p := range parts {
			if read++; read > maxAttachments {
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
	inner := &Text{Format: f}
	if f.Kind == Mail {
		err = inner.mail(ctx, r, p.Content, depth+1)
	} else {
		inner, err = r.Extract(ctx, f, p.FileName, p.Content)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errs.KindOf(err) == errs.Invalid:
		return nil // a damaged attachment does not damage the message
	case err != nil:
		return err
	}
	for _, b := range inner.Blocks {
		t.add(b.Kind, b.Text, append(path[:1:1], b.Path...)[:min(len(b.Path)+1, MaxPath)], b.Line)
	}
	return nil
}
