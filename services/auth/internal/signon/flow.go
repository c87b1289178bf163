package signon

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// FlowLife is how long somebody may take at the provider.
const FlowLife = 10 * time.Minute

// flow is where a login stands.
type flow struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"` // of PKCE
	ReturnTo string    `json:"r"`
	Expires  time.Time `json:"e"`
}

// Sealer hides flows from whoever holds them.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives its key from the instance secret.
func NewSealer(instanceSecret []byte) (*Sealer, error) {
	key, err := hkdf.Key(sha256.New, instanceSecret, nil, "auth:signon-flow:v1", 32)
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

func (s *Sealer) seal(f flow) (string, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("write flow: %w", err)
	}
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("read random nonce: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, text, nil)), nil
}

var errFlow = errors.New("not a flow of this instance")

func (s *Sealer) open(cookie string) (f flow, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return flow{}, errFlow
	}
	text, err := s.aead.Open(nil, raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():], nil)
	if err != nil {
		return flow{}, errFlow
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return flow{}, errFlow
	}
	return f, nil
}

// home is where those go who do not say.
const home = "/ui"

// local returns the path if it is one of this server, else the page: nobody is
// sent to another server by a link to us.
func local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return home
	}
	return path
}
