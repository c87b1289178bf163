package inbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
)

// letter is what goes from one instance to another: who, to whom, when, and a
// text that only the receiver can read. The signature covers all of it.
type letter struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Key     string    `json:"key"`      // that signs
	SealKey string    `json:"seal_key"` // that an answer is sealed for
	Sealed  string    `json:"sealed"`   // base64
	Sign    string    `json:"signature"`
}

// maxLetter is the longest letter, in bytes: less than a message may hold.
const maxLetter = 768 << 10

// text is what is signed; each part has its length before it, so that no two
// letters have the same.
func (l letter) text() []byte {
	var b strings.Builder
	for _, t := range []string{"commandcenter.mesh.v1", l.From, l.To, l.ID, l.At.UTC().Format(time.RFC3339Nano), l.Key, l.SealKey, l.Sealed} {
		fmt.Fprintf(&b, "%d:%s,", len(t), t)
	}
	return []byte(b.String())
}

// seal writes a letter with v in it, for the holder of a curve key.
func (k *Keys) seal(l letter, forKey string, v any) ([]byte, error) {
	inner, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("seal a letter: %w", err)
	}
	sealed, err := k.seals.Seal(inner, forKey)
	if err != nil {
		return nil, fmt.Errorf("seal a letter: %w", err)
	}
	l.Key, l.SealKey, l.Sealed = k.public, k.sealsPublic, base64.StdEncoding.EncodeToString(sealed)
	sig, err := k.Sign(l.text())
	if err != nil {
		return nil, fmt.Errorf("sign a letter: %w", err)
	}
	l.Sign = base64.StdEncoding.EncodeToString(sig)
	return json.Marshal(l)
}

var errLetter = errors.New("no letter")

// peek reads a letter that is signed by the key that it names; whose key that
// is, and what is inside, is not known yet.
func peek(data []byte) (letter, error) {
	var l letter
	if len(data) > maxLetter || json.Unmarshal(data, &l) != nil || !nkeys.IsValidPublicCurveKey(l.SealKey) {
		return letter{}, errLetter
	}
	sig, err := base64.StdEncoding.DecodeString(l.Sign)
	if err != nil {
		return letter{}, errLetter
	}
	return l, Check(l.Key, l.text(), sig)
}

// open reads a letter to us into v.
func (k *Keys) open(data []byte, v any) (letter, error) {
	l, err := peek(data)
	if err != nil {
		return letter{}, err
	}
	sealed, err := base64.StdEncoding.DecodeString(l.Sealed)
	if err != nil {
		return letter{}, errLetter
	}
	inner, err := k.seals.Open(sealed, l.SealKey)
	if err != nil {
		return letter{}, fmt.Errorf("open a letter: %w", err)
	}
	if err := json.Unmarshal(inner, v); err != nil {
		return letter{}, fmt.Errorf("open a letter: %w", err)
	}
	return l, nil
}
