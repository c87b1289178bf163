package extract

import (
	"bytes"

	"golang.org/x/text/encoding/unicode"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// The marks with which text in UTF-16 begins, as editors of Windows save it.
var little, big = []byte("\xff\xfe"), []byte("\xfe\xff")

// inUTF8 is text in UTF-8 that is in UTF-16 with its mark; other bytes are returned
// as they are. Half of a pair of surrogates becomes U+FFFD; half of a unit, at the
// end, means that the text was cut off, and is refused.
func inUTF8(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, little) && !bytes.HasPrefix(data, big) {
		return data, nil
	}
	if len(data)%2 != 0 {
		return nil, errs.InvalidField("unicode_error", "the document begins as UTF-16 does and is cut off: it has an odd number of bytes", "body", "file")
	}
	return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(data)
}
