package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/pkg/secret"
)

// Key is an Ed25519 key with its times.
type Key struct {
	ID          string
	Public      ed25519.PublicKey
	private     ed25519.PrivateKey
	SignFrom    time.Time // not used to sign before
	SignUntil   time.Time // nor from then on
	VerifyUntil time.Time // good for verification before
}

// signs reports whether k may sign at now.
func (k Key) signs(now time.Time) bool { return !now.Before(k.SignFrom) && now.Before(k.SignUntil) }

// Row is a key as it is kept.
type Row struct {
	ID          string
	Public      []byte
	Sealed      []byte // the private seed, in the store of secrets
	Legacy      []byte // or as it was sealed before there was that store
	SignFrom    time.Time
	SignUntil   time.Time
	VerifyUntil time.Time
}

// Sealer hides private keys from whoever reads the database.
type Sealer struct {
	ring   *secret.Ring
	legacy cipher.AEAD
}

// ErrSecret says that the keys in the database were sealed with other keys than
// those at hand.
var ErrSecret = errors.New("the signing keys in the database do not open with the sealing keys and the secret of this instance: " +
	"restore the files of keys/ that belong to this database, or delete the rows of auth.signing_keys, which ends all sessions' access tokens")

// minSecret is the least length of an instance secret, in bytes.
const minSecret = 32

// NewSealer seals with the ring. It still opens what was sealed before with a
// key that is derived from the instance secret.
func NewSealer(ring *secret.Ring, instanceSecret []byte) (*Sealer, error) {
	if ring == nil {
		return nil, errors.New("sealing keys are needed")
	}
	if len(instanceSecret) < minSecret {
		return nil, fmt.Errorf("instance secret: %d bytes, want at least %d", len(instanceSecret), minSecret)
	}
	key, err := hkdf.Key(sha256.New, instanceSecret, nil, "auth:signing-keys:v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive sealing key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return &Sealer{ring: ring, legacy: aead}, nil
}

// place is where the seed of a key lies.
func place(kid string) secret.Place {
	return secret.Place{Schema: "auth", Table: "signing_keys", Column: "seed", Row: kid}
}

// seed opens what a row hides.
func (s *Sealer) seed(r Row) (secret.Value, error) {
	if r.Sealed != nil {
		seed, err := s.ring.Open(place(r.ID), r.Sealed)
		if err != nil {
			return seed, fmt.Errorf("%w (%w)", ErrSecret, err)
		}
		return seed, nil
	}
	n := s.legacy.NonceSize()
	if len(r.Legacy) < n {
		return secret.Value{}, ErrSecret
	}
	seed, err := s.legacy.Open(nil, r.Legacy[:n], r.Legacy[n:], []byte(r.ID))
	if err != nil {
		return secret.Value{}, ErrSecret
	}
	return secret.NewValue(seed), nil
}

// moved are the rows of before as they lie in the store of secrets.
func (s *Sealer) moved(rows []Row) (out []Row, err error) {
	for _, r := range rows {
		if r.Legacy == nil {
			continue
		}
		seed, err := s.seed(r)
		if err != nil {
			return nil, err
		}
		if r.Sealed, err = s.ring.Seal(place(r.ID), seed.Reveal()); err != nil {
			return nil, err
		}
		r.Legacy = nil
		out = append(out, r)
	}
	return out, nil
}

func (s *Sealer) open(r Row) (Key, error) {
	v, err := s.seed(r)
	if err != nil {
		return Key{}, err
	}
	seed := v.Reveal()
	if len(seed) != ed25519.SeedSize {
		return Key{}, ErrSecret
	}
	private := ed25519.NewKeyFromSeed(seed)
	public, _ := private.Public().(ed25519.PublicKey)
	if !public.Equal(ed25519.PublicKey(r.Public)) {
		return Key{}, ErrSecret
	}
	return Key{
		ID: r.ID, Public: public, private: private,
		SignFrom: r.SignFrom, SignUntil: r.SignUntil, VerifyUntil: r.VerifyUntil,
	}, nil
}

// newRow makes a key that signs from the given time.
func (s *Sealer) newRow(from time.Time, signs, verifies time.Duration) (Row, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Row{}, fmt.Errorf("make signing key: %w", err)
	}
	// The id says nothing but which: a digest of the public key.
	sum := sha256.Sum256(public)
	id := base64.RawURLEncoding.EncodeToString(sum[:12])
	sealed, err := s.ring.Seal(place(id), private.Seed())
	if err != nil {
		return Row{}, err
	}
	until := from.Add(signs)
	return Row{
		ID: id, Public: public, Sealed: sealed,
		SignFrom: from, SignUntil: until, VerifyUntil: until.Add(verifies),
	}, nil
}
