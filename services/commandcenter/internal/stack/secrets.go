package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

// ErrKeysGiven says that the sealing keys are a setting, which only whoever set it
// can change.
var ErrKeysGiven = errors.New("the sealing keys come from the setting secrets.keys: add a key there, as the primary one, in every process, and run this again with --rewrap-only")

// Ring opens the sealing keys of the instance; the file is made when there is
// none and no setting names one.
func (e *Env) Ring() (*secret.Ring, error) { return e.ring(true) }

// ring opens the sealing keys; make says whether to make a file that is not there.
// Who only looks makes none: it would open nothing, and hide that the one that
// belongs to the database is lost.
func (e *Env) ring(make bool) (*secret.Ring, error) {
	master, err := secret.Master(e.Config.Secrets.KMS)
	if err != nil {
		return nil, fmt.Errorf("secrets.kms: %w", err)
	}
	if e.Config.Secrets.Keys != "" {
		r, err := secret.Open(secret.Text(e.Config.Secrets.Keys), master)
		if err != nil {
			return nil, fmt.Errorf("secrets.keys: %w", err)
		}
		return r, nil
	}
	file := e.keyFile()
	if make && e.Config.Secrets.KeyFile == "" {
		if err := file.Make(func() ([]byte, error) { return secret.NewKeys(master) }); err != nil {
			return nil, fmt.Errorf("sealing keys: %w", err)
		}
	}
	r, err := secret.Open(file, master)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func (e *Env) keyFile() datadir.KeyFile {
	if f := e.Config.Secrets.KeyFile; f != "" {
		return datadir.KeyFile(f)
	}
	return datadir.KeyFile(e.Dir.SealingKeysFile())
}

// Sealed is how many values of a column are sealed under a key.
type Sealed struct {
	Service string
	secret.Count
	Primary bool // the key is the one that seals now
	Held    bool // the key is at hand
}

// SurveySecrets opens every sealed value in the database.
func SurveySecrets(ctx context.Context, e *Env) ([]Sealed, error) {
	return eachSealed(ctx, e, secret.Survey)
}

// AnnounceKey adds a key to the file of sealing keys that does not seal yet.
func AnnounceKey(e *Env) error {
	if e.Config.Secrets.Keys != "" {
		return ErrKeysGiven
	}
	master, err := secret.Master(e.Config.Secrets.KMS)
	if err != nil {
		return err
	}
	return e.keyFile().Replace(func(text []byte) ([]byte, error) { return secret.Announced(text, master) })
}

// RotateSecrets makes a new primary key, unless only is set, and seals every
// value under it. Services may run: they read the file again when they seal, and
// when they meet a key that they do not know. The key that was primary before is
// kept for what was sealed while this ran; older ones that nothing needs go.
func RotateSecrets(ctx context.Context, e *Env, only bool) ([]Sealed, error) {
	before, err := SurveySecrets(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, s := range before {
		if s.Unreadable > 0 {
			return before, fmt.Errorf("%d values of %s.%s.%s do not open: mend that first (commandcenter secrets status)", s.Unreadable, s.Service, s.Table, s.Column)
		}
	}
	if !only {
		if e.Config.Secrets.Keys != "" {
			return before, ErrKeysGiven
		}
		var master tink.AEAD
		if master, err = secret.Master(e.Config.Secrets.KMS); err != nil {
			return before, err
		}
		used := func(id uint32) bool {
			return slices.ContainsFunc(before, func(s Sealed) bool { return s.Key == id })
		}
		if err := e.keyFile().Replace(func(text []byte) ([]byte, error) { return secret.Rotated(text, master, used) }); err != nil {
			return before, fmt.Errorf("sealing keys: %w", err)
		}
	}
	if _, err := eachSealed(ctx, e, secret.Rewrap); err != nil {
		return before, err
	}
	return SurveySecrets(ctx, e)
}

func eachSealed(ctx context.Context, e *Env, run func(context.Context, *pg.DB, *secret.Ring) ([]secret.Count, error)) ([]Sealed, error) {
	if adminDSN(e) == "" {
		return nil, errNoDatabase
	}
	ring, err := e.ring(false)
	if err != nil {
		return nil, err
	}
	primary, err := ring.Primary()
	if err != nil {
		return nil, err
	}
	var out []Sealed
	for _, s := range services() {
		if s.schema == nil {
			continue
		}
		s.conns = 2
		db, err := open(ctx, e, s)
		if err != nil {
			return out, fmt.Errorf("%s: %w", s.name, err)
		}
		counts, err := run(ctx, db, ring)
		if err := errors.Join(err, db.Close()); err != nil {
			return out, fmt.Errorf("%s: %w", s.name, err)
		}
		for _, c := range counts {
			out = append(out, Sealed{s.name, c, c.Key == primary, ring.Holds(c.Key)})
		}
	}
	return out, nil
}
