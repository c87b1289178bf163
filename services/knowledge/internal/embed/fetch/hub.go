package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

func transport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableKeepAlives:     true, // two files, then never again
	}
}

// fromHub downloads the files that dir does not have yet.
func (o Options) fromHub(ctx context.Context, dir string) error {
	client := &http.Client{Transport: o.Transport, CheckRedirect: secureRedirect}
	var before int64
	for _, f := range o.Model.Files {
		path := filepath.Join(dir, f.Name)
		address := o.Hub + "/" + o.Model.Repository + "/resolve/" + o.Model.Revision + "/" + f.Name
		report := func(n int64) { o.Progress(before+n, o.Model.Size()) }
		get := o.pinned
		if !f.Pinned() {
			get = o.unpinned
		}
		n, err := get(ctx, client, f, address, path, report)
		if err != nil {
			return err
		}
		before += n
	}
	if err := o.note(dir); err != nil {
		return err
	}
	o.Progress(o.Model.Size(), o.Model.Size())
	return nil
}

// pinned gets a file of which it is known what it has to be.
func (o Options) pinned(ctx context.Context, client *http.Client, f File, address, path string, report func(int64)) (int64, error) {
	resumed, err := o.download(ctx, client, address, path, f.Size, report)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name, err)
	}
	err = f.check(path)
	if err != nil && resumed {
		// The first half was of something else: once more from the start.
		if err := os.Remove(path); err != nil {
			return 0, err
		}
		if _, err := o.download(ctx, client, address, path, f.Size, report); err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name, err)
		}
		err = f.check(path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	return f.Size, nil
}

// unpinned gets a file whole: nothing would tell whether the first half that an
// earlier try left is of the same file.
func (o Options) unpinned(ctx context.Context, client *http.Client, f File, address, path string, report func(int64)) (int64, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if _, err := o.download(ctx, client, address, path, unknown, report); err != nil {
		return 0, errors.Join(fmt.Errorf("%s: %w", f.Name, err), os.Remove(path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// unknown is the size of a file that only the hub knows, and most the largest one
// that is taken.
const (
	unknown = -1
	most    = 4 << 30
)

func secureRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("too many redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirected from https to " + req.URL.Scheme)
	}
	return nil
}

// download continues the file at path up to size bytes. resumed says that the
// beginning is from an earlier download.
func (o Options) download(ctx context.Context, client *http.Client, address, path string, size int64, report func(int64)) (resumed bool, err error) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	if have > size {
		have = 0
	}
	if have == size && size != unknown {
		report(have)
		return true, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(o.stall, func() { cancel(fmt.Errorf("nothing came for %v", o.stall)) })
	defer alarm.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", "commandcenter")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	res, err := client.Do(req)
	if err != nil {
		return false, reason(ctx, err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	var start int64
	switch n, _ := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-", &start); {
	case res.StatusCode == http.StatusOK:
		have = 0
	case res.StatusCode != http.StatusPartialContent || n != 1 || start != have:
		return false, fmt.Errorf("answered %s", res.Status)
	}
	if size == unknown {
		// A body that ends early is noticed by its announced length, or not at all.
		if size = res.ContentLength; size <= 0 || size > most {
			return false, fmt.Errorf("a file of %d bytes was announced", size)
		}
	}
	if err := out.Truncate(have); err != nil {
		return false, err
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return false, err
	}
	resumed = have > 0
	body := &watched{r: res.Body, onRead: func(n int) {
		alarm.Reset(o.stall)
		have += int64(n)
		report(min(have, size))
	}}
	// One byte more than there should be, to notice a longer file.
	if _, err := io.Copy(out, io.LimitReader(body, size-have+1)); err != nil {
		return resumed, reason(ctx, err)
	}
	if have != size {
		return resumed, fmt.Errorf("%d bytes came, want %d", have, size)
	}
	return resumed, out.Sync()
}

// reason is why the context ended, if it did, else err without the address,
// which the name of the source tells.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

type watched struct {
	r      io.Reader
	onRead func(n int)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.onRead(n)
	}
	return n, err
}
