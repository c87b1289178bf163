package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

// Lengths of the parts, in characters.
const (
	prefixLength   = 8
	secretLength   = 43 // of 256 bits in base 62
	checksumLength = 6  // of 32 bits
	secretBytes    = 32
)

// Digits of base 62, as [big.Int.Text] has them.
const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// ErrForm is the failure of [Parse].
var ErrForm = errors.New("not the form of a key")

// Key is a key in the clear.
type Key struct {
	prefix, text string
}

// New makes a key of the brand.
func New(brand string) (Key, error) {
	var b [secretBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return Key{}, fmt.Errorf("read random key: %w", err)
	}
	prefix := make([]byte, prefixLength)
	for i := range prefix {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(digits))))
		if err != nil {
			return Key{}, fmt.Errorf("read random prefix: %w", err)
		}
		prefix[i] = digits[n.Int64()]
	}
	body := brand + "_" + string(prefix) + "_" + base62(new(big.Int).SetBytes(b[:]), secretLength)
	return Key{prefix: string(prefix), text: body + checksum(body)}, nil
}

// Is reports whether text claims to be a key of the brand.
func Is(brand, text string) bool { return strings.HasPrefix(text, brand+"_") }

// Parse reads a key. It returns [ErrForm] for whatever [New] cannot have made.
func Parse(brand, text string) (Key, error) {
	rest, ok := strings.CutPrefix(text, brand+"_")
	if !ok || len(rest) != prefixLength+1+secretLength+checksumLength || rest[prefixLength] != '_' {
		return Key{}, ErrForm
	}
	prefix, secret := rest[:prefixLength], rest[prefixLength+1:]
	if strings.Trim(prefix, digits) != "" || strings.Trim(secret, digits) != "" {
		return Key{}, ErrForm
	}
	body := text[:len(text)-checksumLength]
	if checksum(body) != text[len(body):] {
		return Key{}, ErrForm
	}
	return Key{prefix: prefix, text: text}, nil
}

// Prefix names the key where it must not be shown.
func (k Key) Prefix() string { return k.prefix }

// Reveal is the key itself.
func (k Key) Reveal() string { return k.text }

// Hash is what is kept of it.
func (k Key) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(k.text)) }

// String hides the secret from logs.
func (k Key) String() string { return k.prefix + "_…" }

// GoString does so, too.
func (k Key) GoString() string { return k.String() }

// checksum is for mistakes and scanners; it protects nothing.
func checksum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checksumLength)
}

func base62(n *big.Int, width int) string {
	s := n.Text(len(digits))
	return strings.Repeat("0", width-len(s)) + s
}
