package document

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Restore takes a document in as it was somewhere else, whose bytes are kept
// already. It is checked as an upload is, and a job extracts and indexes it: of
// what was derived from its bytes nothing is believed. titled says that its title
// was given and not found; created is when it was first added.
func (in *Intake) Restore(ctx context.Context, s Submission, titled bool, created time.Time) (Document, error) {
	if err := s.check(); err != nil {
		return Document{}, err
	}
	data, err := in.read(ctx, s.Blob)
	if err != nil {
		return Document{}, err
	}
	if Digest(data) != s.Blob.SHA256 {
		return Document{}, errs.New(errs.Invalid, "the bytes of a document are damaged")
	}
	s.Blob.Size = int64(len(data))
	n, err := plan(s, data)
	if err != nil {
		return Document{}, err
	}
	n.Titled, n.CreatedAt = titled && n.Titled, created
	d, _, err := in.store.Receive(ctx, n, nil, s.Blob)
	return d, err
}

// Kept refuses what could not have been kept as it is: a submission that is not
// taken, or that would be kept under other names.
func (s Submission) Kept() error {
	as := s
	if err := as.check(); err != nil {
		return err
	}
	for name, v := range map[string][2]string{
		"source": {s.Source, as.Source}, "category": {s.Category, as.Category}, "collection": {s.Collection, as.Collection},
	} {
		if v[0] != v[1] {
			return errs.Newf(errs.Invalid, "%s: %.100q is kept as %.100q", name, v[0], v[1])
		}
	}
	return nil
}
