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
	Sealed      []byte // the private seed
	SignFrom    time.Time
	SignUntil   time.Time
	VerifyUntil time.Time
}

// Sealer hides private keys from whoever reads the database.
type Sealer struct{ aead cipher.AEAD }

// ErrSecret says that the keys in the database belong to another secret.
var ErrSecret = errors.New("the signing keys in the database were sealed with another instance secret: " +
	"restore the secret file that belongs to this database, or delete the rows of auth.signing_keys, which ends all sessions' access tokens")

// minSecret is the least length of an instance secret, in bytes.
const minSecret = 32

// NewSealer derives the sealing key from the instance secret.
func NewSealer(instanceSecret []byte) (*Sealer, error) {
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
	return &Sealer{aead: aead}, nil
}

// seal binds the seed to its id, so that rows cannot be exchanged.
func (s *Sealer) seal(id string, seed []byte) ([]byte, error) {
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("read random nonce: %w", err)
	}
	return s.aead.Seal(nonce, nonce, seed, []byte(id)), nil
}

func (s *Sealer) open(r Row) (Key, error) {
	n := s.aead.NonceSize()
	if len(r.Sealed) < n {
		return Key{}, ErrSecret
	}
	seed, err := s.aead.Open(nil, r.Sealed[:n], r.Sealed[n:], []byte(r.ID))
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, ErrSecret
	}
	private := ed25519.NewKeyFromSeed(seed)
	public, _ := private.Public().(ed25519.PublicKey)
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
	sealed, err := s.seal(id, private.Seed())
	if err != nil {
		return Row{}, err
	}
	until := from.Add(signs)
	return Row{
		ID: id, Public: public, Sealed: sealed,
		SignFrom: from, SignUntil: until, VerifyUntil: until.Add(verifies),
	}, nil
}
