package inbox

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/nats-io/nkeys"
)

// Keys are those of this instance: one signs, the other opens what only it may
// read.
type Keys struct {
	sign, seals         nkeys.KeyPair
	public, sealsPublic string
}

// NewKeys derives the keys from the secret of the instance, so that every
// process of it has the same, and a restart changes nothing.
func NewKeys(secret []byte) (*Keys, error) {
	k := &Keys{}
	for purpose, fill := range map[string]func(seed []byte) error{
		"federation:signing-key:v1": func(seed []byte) (err error) {
			text, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, seed)
			if err != nil {
				return err
			}
			if k.sign, err = nkeys.FromSeed(text); err != nil {
				return err
			}
			k.public, err = k.sign.PublicKey()
			return err
		},
		"federation:sealing-key:v1": func(seed []byte) (err error) {
			text, err := nkeys.EncodeSeed(nkeys.PrefixByteCurve, seed)
			if err != nil {
				return err
			}
			if k.seals, err = nkeys.FromCurveSeed(text); err != nil {
				return err
			}
			k.sealsPublic, err = k.seals.PublicKey()
			return err
		},
	} {
		seed, err := hkdf.Key(sha256.New, secret, nil, purpose, 32)
		if err == nil {
			err = fill(seed)
		}
		if err != nil {
			return nil, fmt.Errorf("keys of this instance: %w", err)
		}
	}
	return k, nil
}

// Public is the key that others know this instance by.
func (k *Keys) Public() string { return k.public }

// SealsPublic is the key for what only this instance may read.
func (k *Keys) SealsPublic() string { return k.sealsPublic }

// Sign signs.
func (k *Keys) Sign(text []byte) ([]byte, error) { return k.sign.Sign(text) }

// Check verifies a signature by a public key of a user: keys of other kinds
// sign other things.
func Check(key string, text, signature []byte) error {
	if !nkeys.IsValidPublicUserKey(key) {
		return nkeys.ErrInvalidPublicKey
	}
	kp, err := nkeys.FromPublicKey(key)
	if err != nil {
		return err
	}
	return kp.Verify(text, signature)
}
