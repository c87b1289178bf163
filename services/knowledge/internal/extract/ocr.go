package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os/exec"
	"strings"
)

const (
	ocrPages = 500     // most pages of one document that are read by OCR
	ocrDPI   = 200     // at which they are drawn
	ocrText  = 1 << 20 // most bytes of text of a page
)

// ocr reads pages that are pictures with tesseract, a process of its own that
// ends with ctx. Without it there are no lines and no error. Unread is how many
// pages could not be drawn, or not be read.
func (r *Reader) ocr(ctx context.Context, p *pages, at []int) (out []line, unread int, err error) {
	if r.c.OCR == "" || len(at) == 0 {
		return nil, 0, nil
	}
	if len(at) > ocrPages {
		return nil, 0, tooMuch(fmt.Sprintf("%d pages that are pictures; %d are read", len(at), ocrPages))
	}
	var failure error
	for _, i := range at {
		var text string
		err := p.picture(i, ocrDPI, func(img image.Image) (err error) {
			text, err = r.read(ctx, img)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case errors.Is(err, errNoOCR):
			return nil, 0, err
		case err != nil:
			unread, failure = unread+1, err
			continue
		}
		// Paragraphs are set apart by empty lines; a position keeps them so.
		y := 0.0
		for l := range strings.Lines(text) {
			y--
			if l = strings.TrimSpace(l); l == "" {
				y--
				continue
			}
			out = append(out, line{page: i + 1, text: l, top: 12 * (y + 1), bottom: 12 * y, size: 10})
		}
	}
	if unread == len(at) {
		return nil, 0, unsupported("", fmt.Sprintf("OCR could read none of its %d pages that are pictures (%v)", unread, failure))
	}
	return out, unread, nil
}

// errNoOCR says that the program cannot be started.
var errNoOCR = errors.New("start OCR")

func (r *Reader) read(ctx context.Context, img image.Image) (string, error) {
	var in bytes.Buffer
	if err := png.Encode(&in, img); err != nil {
		return "", fmt.Errorf("draw a page: %w", err)
	}
	args := []string{"stdin", "stdout"}
	if r.c.OCRLanguages != "" {
		args = append(args, "-l", r.c.OCRLanguages)
	}
	c := exec.CommandContext(ctx, r.c.OCR, args...) //nolint:gosec // G204: the operator names the program and its languages
	c.Env = []string{"OMP_THREAD_LIMIT=1", "PATH=/usr/bin:/bin"}
	c.Stdin = &in
	out, err := c.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", fmt.Errorf("%w: %w", errNoOCR, err)
	}
	text, err := io.ReadAll(io.LimitReader(out, ocrText))
	_, _ = io.Copy(io.Discard, out)
	if ended := c.Wait(); err == nil {
		err = ended
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("OCR: %w", err)
	}
	return strings.ToValidUTF8(string(text), ""), nil
}
