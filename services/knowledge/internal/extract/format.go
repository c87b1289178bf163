package extract

import (
	"bytes"
	"cmp"
	"fmt"
	"mime"
	"net/mail"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Kind is the coarse class of a document; it chooses the extractor.
type Kind string

// The kinds that are read.
const (
	Markdown Kind = "markdown"
	Plain    Kind = "text"
	HTML     Kind = "html"
	Code     Kind = "code"
	Word     Kind = "docx"
	Slides   Kind = "pptx"
	Sheet    Kind = "xlsx"
	PDF      Kind = "pdf"
	Mail     Kind = "email"
)

// name is the kind in the words of an error message.
func (k Kind) name() string {
	switch k {
	case Word:
		return "a Word document"
	case Slides:
		return "a PowerPoint presentation"
	case Sheet:
		return "an Excel workbook"
	case PDF:
		return "a PDF document"
	case Mail:
		return "an e-mail message"
	case Markdown, Plain, HTML, Code:
	}
	return "text"
}

// Format says how a document is to be read.
type Format struct {
	Kind     Kind
	Language string // of source code and data: "go", "python", "yaml"; "" otherwise
}

// ContentType is the media type of the format, without parameters.
func (f Format) ContentType() string {
	switch f.Kind {
	case Markdown:
		return "text/markdown"
	case HTML:
		return "text/html"
	case Word:
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case Slides:
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case Sheet:
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case PDF:
		return "application/pdf"
	case Mail:
		return "message/rfc822"
	case Plain:
	case Code:
		if f.Language == "json" {
			return "application/json"
		}
		return "text/x-" + f.Language
	}
	return "text/plain"
}

// Accepted is the list of readable types in the words of an error message.
const Accepted = "Markdown (.md), plain text (.txt), HTML (.html), tables (.csv) and source code in UTF-8, or in UTF-16 with its byte order mark, PDF, Word (.docx), PowerPoint (.pptx), Excel (.xlsx) and e-mail (.eml)"

// Refusals of [Detect]. Both are final: the same bytes are refused again.
var (
	errEmpty = errs.InvalidField("value_error", "the document is empty", "body", "file")
)

func unsupported(name, why string) error {
	return errs.Newf(errs.Unsupported, "%s is not readable here: %s; accepted are %s", cmp.Or(name, "the document"), why, Accepted)
}

// binaries are extensions whose files are never text, with the word that the
// refusal uses.
var binaries = map[string]string{
	"doc": "Word in its format before 2007", "xls": "Excel in its format before 2007", "ppt": "PowerPoint in its format before 2007", "xlsb": "Excel's binary format",
	"odt": "OpenDocument", "epub": "EPUB", "zip": "a ZIP archive", "gz": "a gzip archive", "tar": "a tar archive", "7z": "an archive", "rar": "an archive",
	"png": "an image", "jpg": "an image", "jpeg": "an image", "gif": "an image", "webp": "an image", "ico": "an image", "bmp": "an image", "tiff": "an image",
	"mp3": "audio", "wav": "audio", "ogg": "audio", "mp4": "video", "mov": "video", "webm": "video",
	"exe": "a program", "dll": "a program", "so": "a program", "o": "an object file", "a": "an archive", "class": "a program", "jar": "an archive", "wasm": "a program",
	"woff": "a font", "woff2": "a font", "ttf": "a font", "otf": "a font", "sqlite": "a database", "db": "a database", "pyc": "a program",
}

// magics are first bytes of formats that are not text.
var magics = []struct{ prefix, name string }{
	{"PK\x03\x04", "a ZIP archive"}, {"\x1f\x8b", "a gzip archive"},
	{"\x89PNG", "an image"}, {"\xff\xd8\xff", "an image"}, {"GIF8", "an image"}, {"\x7fELF", "a program"},
	{"\xd0\xcf\x11\xe0", "an office document in the format before 2007, or one protected by a password"}, {"\xff\xfe\x00\x00", "text in UTF-32"}, {"\x00\x00\xfe\xff", "text in UTF-32"},
}

// Detect chooses the format of a document from its file name, the media type
// that the sender declared (may be "") and its bytes. The file name wins over
// the declared type, and the bytes have a veto.
//
// Errors: errs.Unsupported for what is not text, errs.Invalid for text that is
// neither UTF-8 nor UTF-16 with its mark, for an office document that is damaged, and
// for an empty document.
func Detect(name, declared string, data []byte) (Format, error) {
	if len(data) == 0 {
		return Format{}, errEmpty
	}
	ext := extension(name)
	if f, ok, err := container(name, ext, declared, data); ok || err != nil {
		return f, err
	}
	if what, ok := binaries[ext]; ok {
		return Format{}, unsupported(name, "it is "+what)
	}
	for _, m := range magics {
		if bytes.HasPrefix(data, []byte(m.prefix)) {
			return Format{}, unsupported(name, "it is "+m.name)
		}
	}
	data, err := inUTF8(data)
	if err != nil {
		return Format{}, err
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return Format{}, unsupported(name, fmt.Sprintf("it is binary (a zero byte at offset %d)", i))
	}
	if !utf8.Valid(data) {
		at := invalidAt(data)
		return Format{}, errs.InvalidField("unicode_error", fmt.Sprintf("the document is not valid UTF-8 (at byte %d)", at), "body", "file")
	}
	if len(bytes.TrimSpace(bytes.TrimPrefix(data, bom))) == 0 {
		return Format{}, errEmpty
	}
	if f, ok := byName(name, ext); ok {
		return f, nil
	}
	return sniff(declared, data), nil
}

// container detects the formats that are not text. Their bytes decide; a name
// that promises one of them over other bytes is refused, for it would be read
// as something that its sender does not mean.
func container(name, ext, declared string, data []byte) (Format, bool, error) {
	named := map[string]Kind{"pdf": PDF, "docx": Word, "docm": Word, "dotx": Word, "pptx": Slides, "pptm": Slides, "ppsx": Slides, "xlsx": Sheet, "xlsm": Sheet, "eml": Mail}[ext]
	var found Kind
	switch {
	// Readers of PDF look for its mark in the first kilobyte (ISO 32000, annex H).
	case named == PDF && bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-")), bytes.HasPrefix(data, []byte("%PDF-")):
		found = PDF
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		found = officeKind(data)
	case ext == "eml", ext == "" && strings.HasPrefix(declared, "message/rfc822"):
		if _, err := mail.ReadMessage(bytes.NewReader(data)); err == nil {
			found = Mail
		}
	}
	if named != "" && named != found {
		if bytes.HasPrefix(data, []byte("\xd0\xcf\x11\xe0")) {
			return Format{}, false, unsupported(name, "it is protected by a password, or in the format before 2007")
		}
		if office := named == Word || named == Slides || named == Sheet; office && bytes.HasPrefix(data, []byte("PK")) && found == "" && !readable(data) {
			return Format{}, false, errs.InvalidField("value_error", fmt.Sprintf("%s is damaged or cut off, so that it cannot be read as %s: open it in the program that made it, "+
				"save it anew, and send that", cmp.Or(name, "the document"), named.name()), "body", "file")
		}
		return Format{}, false, unsupported(name, "its content is not "+named.name())
	}
	return Format{Kind: found}, found != "", nil
}

var bom = []byte("\xef\xbb\xbf")

func extension(name string) string {
	return strings.ToLower(strings.TrimPrefix(path.Ext(path.Base(strings.ReplaceAll(name, "\\", "/"))), "."))
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

func byName(name, ext string) (Format, bool) {
	switch ext {
	case "md", "markdown", "mdx", "mkd":
		return Format{Kind: Markdown}, true
	case "txt", "text", "rst", "adoc", "asciidoc", "org", "log", "tex":
		return Format{Kind: Plain}, true
	case "html", "htm", "xhtml":
		return Format{Kind: HTML}, true
	}
	if l, ok := byExtension[ext]; ok {
		return Format{Kind: Code, Language: l}, true
	}
	if l, ok := byFileName[strings.ToLower(path.Base(strings.ReplaceAll(name, "\\", "/")))]; ok {
		return Format{Kind: Code, Language: l}, true
	}
	return Format{}, false
}

// sniff decides for names that say nothing: the declared type, then the look
// of the first bytes, then plain text.
func sniff(declared string, data []byte) Format {
	media, _, err := mime.ParseMediaType(declared)
	if err != nil {
		media = ""
	}
	switch media {
	case "text/markdown", "text/x-markdown":
		return Format{Kind: Markdown}
	case "text/html", "application/xhtml+xml":
		return Format{Kind: HTML}
	case "application/json":
		return Format{Kind: Code, Language: "json"}
	case "application/yaml", "text/yaml", "application/x-yaml":
		return Format{Kind: Code, Language: "yaml"}
	}
	head := data[:min(len(data), 1024)]
	head = bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, bom)))
	switch {
	case bytes.HasPrefix(head, []byte("<!doctype html")), bytes.HasPrefix(head, []byte("<html")):
		return Format{Kind: HTML}
	case bytes.HasPrefix(head, []byte("#!")):
		first, _, _ := bytes.Cut(head, []byte("\n"))
		for _, i := range []struct{ program, language string }{{"python", "python"}, {"ruby", "ruby"}, {"perl", "perl"}, {"node", "javascript"}, {"php", "php"}} {
			if bytes.Contains(first, []byte(i.program)) {
				return Format{Kind: Code, Language: i.language}
			}
		}
		return Format{Kind: Code, Language: "shell"}
	}
	return Format{Kind: Plain}
}
