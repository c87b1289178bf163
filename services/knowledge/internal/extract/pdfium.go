package extract

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"sync"
	"time"

	"github.com/klippa-app/go-pdfium"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const (
	sandboxMemory = 512 << 20       // most memory of one document's sandbox, in bytes
	sandboxIdle   = 2 * time.Minute // after which the sandboxes' code is let go
	sandboxes     = 4               // documents at the same time
)

// sandbox runs PDFium in WebAssembly: a document that breaks it can neither
// read memory of the process, nor a file, nor go on after its time. Each
// document has an instance of its own. The compiled code, which is large, is let
// go when no PDF has come for a while. The zero value is ready.
type sandbox struct {
	mu    sync.Mutex
	pool  pdfium.Pool
	users int
	idle  *time.Timer
}

// borrow gives the pool until release is called. cache is a directory that keeps
// the compiled code; with "", or one that cannot be written, it is compiled anew,
// which takes seconds.
func (s *sandbox) borrow(cache string) (pool pdfium.Pool, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	if s.pool == nil {
		config := wazero.NewRuntimeConfig().
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
			WithCloseOnContextDone(true).
			WithMemoryLimitPages(sandboxMemory >> 16)
		if cache != "" {
			if c, err := wazero.NewCompilationCacheWithDir(cache); err == nil {
				config = config.WithCompilationCache(c)
			}
		}
		s.pool, err = webassembly.Init(webassembly.Config{
			MaxTotal: sandboxes, RuntimeConfig: config, Stdout: io.Discard, Stderr: io.Discard,
			FSConfig: wazero.NewFSConfig(), // no file; the default would be all of them
		})
		if err != nil {
			s.pool = nil
			return nil, nil, fmt.Errorf("start PDFium: %w", err)
		}
	}
	s.users++
	return s.pool, s.release, nil
}

func (s *sandbox) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	s.idle = time.AfterFunc(sandboxIdle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.users == 0 && s.pool != nil {
			_ = s.pool.Close() // says only that it is closed already
			s.pool = nil
		}
	})
}

// pages is an open PDF.
type pages struct {
	lib   pdfium.Pdfium
	doc   references.FPDF_DOCUMENT
	count int
}

// errLocked says that a PDF opens with a password only.
var errLocked = errors.New("it opens with a password only")

// with opens a PDF for the time of do. When ctx ends, the sandbox is closed,
// whatever it is doing, and with returns.
func (s *sandbox) with(ctx context.Context, cache string, data []byte, do func(*pages) error) error {
	pool, release, err := s.borrow(cache)
	if err != nil {
		return err
	}
	defer release()
	lib, err := pool.GetInstanceWithContext(ctx)
	if err != nil {
		return errors.Join(ctx.Err(), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = lib.Kill() })
	defer func() {
		if stop() {
			_ = lib.Close() // its memory is gone in any case
		}
	}()
	err = func() (err error) {
		defer func() { // the library panics where the sandbox is killed under it
			if p := recover(); p != nil {
				err = fmt.Errorf("PDFium: %v", p)
			}
		}()
		opened, err := lib.OpenDocument(&requests.OpenDocument{File: &data})
		if errors.Is(err, pdfiumerrors.ErrPassword) || errors.Is(err, pdfiumerrors.ErrSecurity) {
			return damaged(Format{Kind: PDF}, errLocked)
		}
		if err != nil {
			return damaged(Format{Kind: PDF}, err)
		}
		n, err := lib.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
		if err != nil {
			return damaged(Format{Kind: PDF}, err)
		}
		return do(&pages{lib: lib, doc: opened.Document, count: n.PageCount})
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (p *pages) at(i int) requests.Page {
	return requests.Page{ByIndex: &requests.PageByIndex{Document: p.doc, Index: i}}
}

// title is the title among the properties of the document; "" for none.
func (p *pages) title() string {
	m, err := p.lib.GetMetaData(&requests.GetMetaData{Document: p.doc})
	if err != nil {
		return ""
	}
	for _, t := range m.Tags {
		if t.Tag == "Title" {
			return t.Value
		}
	}
	return ""
}

// run is text of one font in one line; positions are in points from the lower
// left corner of the page.
type run struct {
	text                     string
	left, right, top, bottom float64
	size                     float64
}

// runs are the texts of page i, from 0, in the order of the document.
func (p *pages) runs(i int) ([]run, error) {
	x, err := p.lib.GetPageTextStructured(&requests.GetPageTextStructured{
		Page: p.at(i), Mode: requests.GetPageTextStructuredModeRects, CollectFontInformation: true,
	})
	if err != nil {
		return nil, err
	}
	out := make([]run, 0, len(x.Rects))
	for _, r := range x.Rects {
		at := r.PointPosition
		n := run{text: r.Text, left: at.Left, right: at.Right, top: max(at.Top, at.Bottom), bottom: min(at.Top, at.Bottom)}
		if r.FontInformation != nil {
			n.size = r.FontInformation.RenderedSize
		}
		out = append(out, n)
	}
	return out, nil
}

// maxPixels bounds the picture of a page, whatever size the page says that it has.
const maxPixels = 25_000_000

// picture draws page i for the time of use, at dpi or at what keeps it within
// bounds.
func (p *pages) picture(i, dpi int, use func(image.Image) error) error {
	size, err := p.lib.GetPageSize(&requests.GetPageSize{Page: p.at(i)})
	if err != nil {
		return err
	}
	if inches := size.Width / 72 * size.Height / 72; inches > 0 {
		dpi = max(1, min(dpi, int(math.Sqrt(maxPixels/inches))))
	}
	r, err := p.lib.RenderPageInDPI(&requests.RenderPageInDPI{Page: p.at(i), DPI: dpi, ImageFormat: requests.RenderImageFormatGrayscale})
	if err != nil {
		return err
	}
	defer r.Cleanup()
	return use(r.Result.RenderedImage)
}
