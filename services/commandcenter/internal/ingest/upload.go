package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// Options of an upload.
type Options struct {
	Parallel   int    // uploads at a time; below 1 means 4
	Language   string // of the texts, as ISO 639-1 has it; "" has the server find it out
	Category   string // "" takes that of the kind of file
	Collection string // "" leaves it to the server
	Wait       bool   // until everything is indexed
}

// Result is what became of one file.
type Result struct {
	Name   string `json:"name"`
	ID     int64  `json:"id,omitempty"`
	Chunks int    `json:"chunks"`
	State  string `json:"state"` // indexing, indexed, failed, refused
	// Outcome is what the upload did: added, replaced or unchanged; "" when the
	// server has not taken it.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
	Err     error  `json:"-"`
}

// The states that the server does not have: it never took the file.
const (
	stateFailed  = "failed"
	stateRefused = "refused"
)

// The outcomes.
const (
	OutcomeAdded     = "added"
	OutcomeReplaced  = "replaced"
	OutcomeUnchanged = "unchanged" // the server had the same already
)

// outcome reads it from the answer: only what has changed is indexed again, and
// what was there before has a higher version.
func outcome(doc client.KnowledgeUpload) string {
	switch {
	case doc.State != client.KnowledgeUploadStateIndexing:
		return OutcomeUnchanged
	case doc.Version > 1:
		return OutcomeReplaced
	}
	return OutcomeAdded
}

// OK reports whether the server has the document.
func (r Result) OK() bool { return r.Err == nil }

// Progress hears what happens. Calls come from several goroutines.
type Progress interface {
	Begin(files int, bytes int64)
	Sent(bytes int64)  // more bytes are on their way; negative when a file is sent again
	Uploaded(r Result) // once for each file
	Indexed(r Result)  // once for each file that was uploaded, if Options.Wait
	End()
}

// Upload sends the files and returns their results in the same order. An error
// means that it gave up, because ctx ended or nobody may upload at all; then the
// results of files that it did not come to, or left half-way, are zero. A file
// that was refused is a result like another.
func Upload(ctx context.Context, s *client.Session, files []File, o Options, p Progress) ([]Result, error) {
	if o.Parallel < 1 {
		o.Parallel = 4
	}
	var bytes int64
	for _, f := range files {
		bytes += f.Size
	}
	p.Begin(len(files), bytes)
	defer p.End()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	u := &uploader{session: s, opts: o, progress: p, results: make([]Result, len(files)), giveUp: giveUp}

	uploaded := make(chan int, len(files))
	var indexing sync.WaitGroup
	if o.Wait {
		indexing.Go(func() { u.waitAll(ctx, uploaded) })
	}
	var sending sync.WaitGroup
	next := make(chan int)
	for range min(o.Parallel, len(files)) {
		sending.Go(func() {
			for i := range next {
				r := u.send(ctx, files[i])
				if !r.OK() && ctx.Err() != nil {
					continue // it gave up: nobody knows whether the server has it
				}
				u.results[i] = r
				p.Uploaded(r)
				uploaded <- i
			}
		})
	}
	for i := range files {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	sending.Wait()
	close(uploaded)
	indexing.Wait()
	if ctx.Err() != nil {
		return u.results, context.Cause(ctx)
	}
	return u.results, nil
}

type uploader struct {
	session  *client.Session
	opts     Options
	progress Progress
	results  []Result
	giveUp   context.CancelCauseFunc
}

// send uploads one file and waits for its answer, also for one that comes
// later.
func (u *uploader) send(ctx context.Context, f File) Result {
	body, contentType, err := u.form(f)
	if err != nil {
		return failed(f, err)
	}
	key := uuid.NewString()
	resp, err := u.session.AddDocumentWithBody(ctx, &client.AddDocumentParams{IdempotencyKey: &key}, contentType, nil,
		func(_ context.Context, r *http.Request) error {
			r.ContentLength = body.size
			r.GetBody = body.open
			var err error
			r.Body, err = body.open()
			return err
		})
	doc, err := client.Finish[client.KnowledgeUpload](ctx, u.session, resp, err)
	if err != nil {
		return u.refused(f, err)
	}
	return Result{Name: f.Name, ID: doc.Id, Chunks: doc.ChunksAdded, State: string(doc.State), Outcome: outcome(doc)}
}

// refused decides whether one file is at fault, or all of them would be.
func (u *uploader) refused(f File, err error) Result {
	var apiErr *client.APIError
	var gone *client.UnreachableError
	switch {
	case errors.As(err, &apiErr) && (apiErr.Status == http.StatusUnauthorized || apiErr.Status == http.StatusForbidden),
		errors.As(err, &gone), errors.Is(err, client.ErrNotLoggedIn):
		u.giveUp(err)
	case errors.As(err, &apiErr) && apiErr.Status < http.StatusInternalServerError:
		r := failed(f, err)
		r.State = stateRefused
		return r
	}
	return failed(f, err)
}

func failed(f File, err error) Result {
	return Result{Name: f.Name, State: stateFailed, Error: err.Error(), Err: err}
}

// waitAll follows the documents one after another, in the order in which they
// were taken: that is the order in which they are indexed, more or less, so
// the one asked about is nearly always the one under work.
func (u *uploader) waitAll(ctx context.Context, uploaded <-chan int) {
	for i := range uploaded {
		r := u.results[i]
		if !r.OK() {
			continue
		}
		if r.State == string(client.DocumentStateIndexing) {
			r = u.wait(ctx, r)
			u.results[i] = r
		}
		u.progress.Indexed(r)
	}
}

func (u *uploader) wait(ctx context.Context, r Result) Result {
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		doc, err := client.Into[client.Document](u.session.GetDocument(ctx, r.ID, nil))
		if err == nil && doc.State == client.DocumentStateIndexing {
			t := time.NewTimer(pause)
			select {
			case <-t.C:
				continue
			case <-ctx.Done():
				t.Stop()
			}
		}
		if ctx.Err() != nil {
			return r // the server has it, and goes on
		}
		if err == nil && doc.State == client.DocumentStateFailed {
			err = errors.New("indexing failed")
			if doc.Error != nil {
				err = errors.New(*doc.Error)
			}
		}
		if err != nil {
			r.State, r.Error, r.Err = stateFailed, err.Error(), err
			return r
		}
		r.State, r.Chunks = string(doc.State), doc.Chunks
		return r
	}
}

// formBody is a multipart body that can be opened again for a retry without
// holding the file in memory.
type formBody struct {
	size int64
	open func() (io.ReadCloser, error)
}

func (u *uploader) form(f File) (formBody, string, error) {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	category := u.opts.Category
	if category == "" {
		category = Kind(f.Name)
	}
	if category == "" {
		category = "documentation"
	}
	fields := [][2]string{{"category", category}}
	if to := cmp.Or(f.Collection, u.opts.Collection); to != "" {
		fields = append(fields, [2]string{"collection", to})
	}
	if u.opts.Language != "" {
		fields = append(fields, [2]string{"text_language", u.opts.Language})
	}
	if f.Title != "" {
		fields = append(fields, [2]string{"title", f.Title})
	}
	for _, kv := range fields {
		if err := w.WriteField(kv[0], kv[1]); err != nil {
			return formBody{}, "", err
		}
	}
	h := textproto.MIMEHeader{}
	// The whole path is the name: two README.md of one folder are two documents.
	h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file"; filename="%s"`, quote(f.Name)))
	h.Set("Content-Type", "application/octet-stream")
	if _, err := w.CreatePart(h); err != nil {
		return formBody{}, "", err
	}
	tail := []byte("\r\n--" + w.Boundary() + "--\r\n")
	last := &counter{}
	return formBody{
		size: int64(head.Len()) + f.Size + int64(len(tail)),
		open: func() (io.ReadCloser, error) {
			file, err := f.Open()
			if err != nil {
				return nil, err
			}
			last.takeBack()
			last = &counter{r: io.LimitReader(file, f.Size), sent: u.progress.Sent}
			return stream{io.MultiReader(bytes.NewReader(head.Bytes()), last, bytes.NewReader(tail)), file}, nil
		},
	}, w.FormDataContentType(), nil
}

func quote(name string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "%0D", "\n", "%0A").Replace(name)
}

// counter tells how many bytes of a file were read, and takes that back when
// the file has to be sent again.
type counter struct {
	r    io.Reader
	sent func(int64)
	n    atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	c.sent(int64(n))
	return n, err
}

func (c *counter) takeBack() {
	if n := c.n.Swap(0); n > 0 {
		c.sent(-n)
	}
}

type stream struct {
	io.Reader
	io.Closer
}
