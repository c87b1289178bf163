package bus

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ObjectRef refers to a stored object. It travels in place of the bytes.
type ObjectRef struct {
	Bucket      string `json:"bucket"`
	Name        string `json:"name"` // "<project token>/<uuid>"
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256"` // lower-case hex
	Size        int64  `json:"size"`   // bytes
}

const (
	metaFilename    = "filename"
	metaContentType = "content-type"
	metaOwner       = "for" // the service that is going to refer to it

	// chunkSize is how many bytes of an object one message carries: each
	// message is a write that waits for the disk.
	chunkSize = 128 << 10
)

// PutObject is [Bus.PutObjectFor] the caller itself.
func (b *Bus) PutObject(ctx context.Context, p tenant.Project, filename, contentType string, r io.Reader, max int64) (ObjectRef, error) {
	return b.PutObjectFor(ctx, b.service, p, filename, contentType, r, max)
}

// PutObjectFor streams r into the object store and returns when every byte is
// stored. owner is the service that is going to refer to it. More than max bytes is
// errs.TooLarge; then, and after any failure, nothing is left behind. An object that
// no row refers to is its creator's to delete; what a creator forgets,
// [Bus.SweepObjects] finds.
func (b *Bus) PutObjectFor(ctx context.Context, owner string, p tenant.Project, filename, contentType string, r io.Reader, max int64) (ObjectRef, error) {
	store, err := b.objects.get(ctx)
	if err != nil {
		return ObjectRef{}, errNoStore.Because(err)
	}
	file := &fileReader{ctx: ctx, r: r, left: max}
	// Its reader ends a put whose caller has gone: the store then still has a
	// context in which it can clear away what it has begun.
	name := p.Token() + "/" + uuid.NewString()
	info, err := store.Put(context.WithoutCancel(ctx), jetstream.ObjectMeta{
		Name:     name,
		Metadata: map[string]string{metaFilename: filename, metaContentType: contentType, metaOwner: owner},
		Opts:     &jetstream.ObjectMetaOptions{ChunkSize: chunkSize},
	}, file)
	if err != nil {
		b.forget(ctx, name)
		return ObjectRef{}, file.explain(err, max)
	}
	sum, err := decodeDigest(info.Digest)
	if err != nil {
		return ObjectRef{}, fmt.Errorf("store object: %w", err)
	}
	return ObjectRef{
		Bucket: BucketBlobs, Name: info.Name, Filename: filename, ContentType: contentType, SHA256: sum,
		Size: int64(info.Size), //nolint:gosec // G115: bounded by max
	}, nil
}

// openWithin bounds how long an object may be open for reading. The client library
// takes a context without an end for one of ten seconds, from the first byte to the
// last, however slowly they are wanted.
const openWithin = 24 * time.Hour

// opened is an object that is being read.
type opened struct {
	jetstream.ObjectResult
	done context.CancelFunc
}

func (o opened) Close() error {
	defer o.done()
	return o.ObjectResult.Close()
}

// GetObject opens the object; it is readable until ctx ends. The reader verifies the
// digest at its end; close it. A missing object is errs.NotFound.
func (b *Bus) GetObject(ctx context.Context, ref ObjectRef) (io.ReadCloser, error) {
	store, err := b.bucket(ctx, ref)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(ctx, openWithin)
	o, err := store.Get(ctx, ref.Name)
	if err == nil {
		return opened{o, done}, nil
	}
	done()
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, errs.New(errs.NotFound, "the stored file is gone")
	}
	return nil, errs.Newf(errs.Unavailable, "read object: %w", err)
}

// DeleteObject removes the object. One that is not there is no error.
func (b *Bus) DeleteObject(ctx context.Context, ref ObjectRef) error {
	store, err := b.bucket(ctx, ref)
	if err != nil {
		return err
	}
	info, err := store.GetInfo(ctx, ref.Name, jetstream.GetObjectInfoShowDeleted())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err == nil {
		err = b.erase(ctx, info.Name, info.NUID)
	}
	if err != nil {
		return errs.Newf(errs.Unavailable, "delete object: %w", err)
	}
	return nil
}

// The subjects of the bucket, as the object store of NATS (ADR-20) names them:
// one message that describes each object, and its chunks.
const (
	describedBy = "$O." + BucketBlobs + ".M."
	chunksOf    = "$O." + BucketBlobs + ".C."
)

func description(name string) string {
	return describedBy + base64.URLEncoding.EncodeToString([]byte(name))
}

// erase removes an object without a trace. The client library would leave a
// mark behind for good, for whoever puts another object under the same name,
// which nobody does. The description goes first: without it there is no object.
func (b *Bus) erase(ctx context.Context, name, nuid string) error {
	s, err := b.blobs.get(ctx)
	if err != nil {
		return err
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSubject(description(name))); err != nil {
		return err
	}
	return s.Purge(ctx, jetstream.WithPurgeSubject(chunksOf+nuid))
}

// forget removes the description of an object whose put has failed: the client
// library removes the chunks, and knows too late that not all were stored.
func (b *Bus) forget(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.timeout)
	defer cancel()
	s, err := b.blobs.get(ctx)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(description(name)))
	}
	if err != nil {
		b.log.WarnContext(ctx, "bus.forget", "object", name, "err", err)
	}
}

func (b *Bus) bucket(ctx context.Context, ref ObjectRef) (jetstream.ObjectStore, error) {
	if ref.Bucket != BucketBlobs || ref.Name == "" {
		return nil, errs.Newf(errs.Internal, "object %q of bucket %q is not ours", ref.Name, ref.Bucket)
	}
	store, err := b.objects.get(ctx)
	if err != nil {
		return nil, errNoStore.Because(err)
	}
	return store, nil
}

// decodeDigest turns the store's "SHA-256=<base64url>" into hex.
func decodeDigest(d string) (string, error) {
	v, ok := strings.CutPrefix(d, "SHA-256=")
	if !ok {
		return "", fmt.Errorf("digest %q is not SHA-256", d)
	}
	sum, err := base64.URLEncoding.DecodeString(v)
	if err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	return hex.EncodeToString(sum), nil
}

// fileReader reads a file on its way into the store, and fails as soon as there
// is more than it may pass on, or nobody waits any more. It fills the buffer
// that it is given, since the store makes a message of every read: the parts of
// a form come in pieces of 4 KiB.
type fileReader struct {
	ctx  context.Context //nolint:containedctx // of the one call that the reader lives for
	r    io.Reader
	left int64
	over bool
	err  error // of r or ctx, which is the sender's and not the store's
}

// Read reads from the underlying reader until p is full or there is no more.
func (f *fileReader) Read(p []byte) (n int, err error) {
	if int64(len(p)) > f.left+1 {
		p = p[:f.left+1]
	}
	for n < len(p) && err == nil {
		if f.ctx.Err() != nil {
			err = context.Cause(f.ctx)
			break
		}
		var k int
		k, err = f.r.Read(p[n:])
		n += k
	}
	if int64(n) > f.left {
		f.over = true
		return 0, errOverLimit
	}
	f.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

var (
	errOverLimit = errors.New("over the limit")
	errNoStore   = errs.New(errs.Unavailable, "the object store does not answer").After(time.Second)
	errFullStore = errs.New(errs.Unavailable, "the object store is full").After(time.Minute)
)

// explain says what has ended the put.
func (f *fileReader) explain(err error, max int64) error {
	switch {
	case f.over:
		return errs.Newf(errs.TooLarge, "the file is larger than %d bytes", max)
	case f.err != nil && f.ctx.Err() != nil:
		return fmt.Errorf("store object: %w", f.err)
	case f.err != nil:
		return errs.Wrap(errs.Malformed, f.err, "the file could not be read to its end")
	case full(err):
		return errFullStore.Because(err)
	}
	return errNoStore.Because(err)
}
