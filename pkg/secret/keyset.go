package secret

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Source is where the text of a ring is. It is asked often.
type Source interface {
	Keys() (text []byte, err error)
}

// Text is a ring that does not change while the process runs.
type Text string

// Keys returns the text.
func (t Text) Keys() ([]byte, error) { return []byte(t), nil }

// Master returns the key of a KMS under which the text of a ring is encrypted;
// nil for no address. It needs a client for such addresses, which a build
// registers with Tink ([registry.RegisterKMSClient]).
func Master(uri string) (tink.AEAD, error) {
	if uri == "" {
		return nil, nil
	}
	client, err := registry.GetKMSClient(uri)
	if err != nil {
		return nil, fmt.Errorf("no client for the KMS key %s in this build: %w", uri, err)
	}
	master, err := client.GetAEAD(uri)
	if err != nil {
		return nil, fmt.Errorf("KMS key %s: %w", uri, err)
	}
	return master, nil
}

// NewKeys returns the text of a new ring with one key, encrypted under master
// unless that is nil.
func NewKeys(master tink.AEAD) ([]byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return write(h, master)
}

// Announced returns the text with another key, which opens and does not seal yet:
// processes that have copies of a ring get it before it is used. It is the
// primary one after the next [Rotated].
func Announced(text []byte, master tink.AEAD) ([]byte, error) {
	h, err := read(text, master)
	if err != nil {
		return nil, err
	}
	if _, waits := announced(h); waits {
		return text, nil
	}
	m := keyset.NewManagerFromHandle(h)
	if _, err = m.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return nil, fmt.Errorf("change the ring: %w", err)
	}
	return changed(m, master)
}

// announced is the key that is to be the primary one: it comes after that.
func announced(h *keyset.Handle) (id uint32, waits bool) {
	keys := h.KeysetInfo().GetKeyInfo()
	id = keys[len(keys)-1].GetKeyId()
	return id, id != h.KeysetInfo().GetPrimaryKeyId()
}

// Rotated returns the text with a new primary key, the announced one if there is
// one, and without those of its older keys that keep rejects. The key that was
// the primary one is kept.
func Rotated(text []byte, master tink.AEAD, keep func(id uint32) bool) ([]byte, error) {
	h, err := read(text, master)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(h)
	id, waits := announced(h)
	if !waits {
		id, err = m.Add(aead.AES256GCMKeyTemplate())
	}
	if err == nil {
		err = m.SetPrimary(id)
	}
	for _, k := range h.KeysetInfo().GetKeyInfo() {
		old := k.GetKeyId() != id && k.GetKeyId() != h.KeysetInfo().GetPrimaryKeyId()
		if err == nil && old && !keep(k.GetKeyId()) {
			err = m.Delete(k.GetKeyId())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("change the ring: %w", err)
	}
	return changed(m, master)
}

func changed(m *keyset.Manager, master tink.AEAD) ([]byte, error) {
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("change the ring: %w", err)
	}
	return write(h, master)
}

func write(h *keyset.Handle, master tink.AEAD) ([]byte, error) {
	var out bytes.Buffer
	var err error
	if w := keyset.NewJSONWriter(&out); master == nil {
		err = insecurecleartextkeyset.Write(h, w)
	} else {
		err = h.Write(w, master)
	}
	if err != nil {
		return nil, fmt.Errorf("write the ring: %w", err)
	}
	return out.Bytes(), nil
}

// errDamaged says no more: what the parser has to say may be part of a key.
var errDamaged = errors.New("the ring of sealing keys cannot be read: want a Tink keyset in JSON, encrypted if a KMS key is set; restore it from a back-up")

func read(text []byte, master tink.AEAD) (*keyset.Handle, error) {
	r := keyset.NewJSONReader(bytes.NewReader(text))
	if master == nil {
		h, err := insecurecleartextkeyset.Read(r)
		if err != nil {
			return nil, errDamaged
		}
		return h, nil
	}
	h, err := keyset.Read(r, master)
	if err != nil {
		return nil, errDamaged
	}
	return h, nil
}
