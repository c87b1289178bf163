package extract

import "fmt"

// budget bounds one extraction together with all that lies within the document:
// what its attachments and parts unpack to is the document's.
type budget struct {
	unpacked    int64 // bytes that may still be unpacked
	text        int   // bytes of text that may still be kept
	cells       int   // cells of workbooks that may still be read
	attachments int   // attachments that may still be read
}

func newBudget() *budget {
	return &budget{unpacked: maxUnpacked, text: maxText, cells: maxCells, attachments: maxAttachments}
}

// unpack takes n bytes that are about to be unpacked.
func (b *budget) unpack(n int64) error {
	if b.unpacked -= n; b.unpacked < 0 {
		return tooMuch(fmt.Sprintf("%d MiB", maxUnpacked>>20))
	}
	return nil
}

// keep takes n bytes of text that are about to be kept.
func (b *budget) keep(n int) error {
	if b.text -= n; b.text < 0 {
		return tooMuch(fmt.Sprintf("%d MiB of text", maxText>>20))
	}
	return nil
}
