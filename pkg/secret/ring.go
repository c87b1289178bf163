package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A sealed value is: format, length of the wrapped data key in two bytes, that
// key as Tink writes it (0x01, id of the key in four bytes, ciphertext), and the
// value. The type platform.sealed checks the beginning.
const (
	format    = 1
	headSize  = 3
	dataKey   = 32
	tinkStart = 1
	tinkHead  = 5
)

// The ways in which a value does not open.
var (
	// ErrKey says that the ring lacks the key that sealed the value.
	ErrKey = errors.New("sealed under a key that the ring does not hold")
	// ErrSealed says that the value is not what was sealed at this place.
	ErrSealed = errors.New("not a value that was sealed at this place")
)

// Place is where a sealed value lies. Row is the primary key without project_id,
// as PostgreSQL writes it; several columns are joined by [Row].
type Place struct {
	Schema, Table, Column string
	Project               int64 // 0 for the instance
	Row                   string
}

// Row is a primary key of several columns as one text, which no other has: they
// are joined by "/", and a "/" or a "\" in one of them follows a "\". A key of one
// column is as it is.
func Row(columns ...string) string {
	if len(columns) == 1 {
		return columns[0]
	}
	escape := strings.NewReplacer(`\`, `\\`, `/`, `\/`)
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = escape.Replace(c)
	}
	return strings.Join(parts, "/")
}

// String names the place.
func (p Place) String() string {
	return fmt.Sprintf("%s.%s.%s of row %s in project %d", p.Schema, p.Table, p.Column, p.Row, p.Project)
}

// bind is the associated data: what for, and each part with its length, so that
// no two places have the same.
func (p Place) bind(what string) []byte {
	var out []byte
	for _, part := range []string{what, p.Schema, p.Table, p.Column, fmt.Sprint(p.Project), p.Row} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part))) //nolint:gosec // G115: names and keys are short
		out = append(out, part...)
	}
	return out
}

// Ring seals and opens. It is safe for concurrent use.
type Ring struct {
	source Source
	master tink.AEAD

	mu   sync.Mutex
	text []byte
	keys tink.AEAD
	ids  map[uint32]bool
	main uint32
}

// Open reads the ring of a source; master is the key that encrypts its text, nil
// for none.
func Open(source Source, master tink.AEAD) (*Ring, error) {
	r := &Ring{source: source, master: master}
	return r, r.reload()
}

// Reload reads the source again. A text that cannot be read leaves the ring as
// it was.
func (r *Ring) reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := r.source.Keys()
	if err != nil {
		return fmt.Errorf("read the sealing keys: %w", err)
	}
	if r.keys != nil && bytes.Equal(text, r.text) {
		return nil
	}
	h, err := read(text, r.master)
	if err != nil {
		return err
	}
	keys, err := aead.New(h)
	if err != nil {
		return errDamaged
	}
	ids := map[uint32]bool{}
	for _, k := range h.KeysetInfo().GetKeyInfo() {
		ids[k.GetKeyId()] = true
	}
	r.text, r.keys, r.ids, r.main = text, keys, ids, h.KeysetInfo().GetPrimaryKeyId()
	return nil
}

// now is the ring as its source has it, and as it was when that cannot be read.
func (r *Ring) now() (keys tink.AEAD, main uint32, err error) {
	err = r.reload()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.main, err
}

// Primary is the id of the key that seals.
func (r *Ring) Primary() (uint32, error) {
	_, main, err := r.now()
	return main, err
}

// Holds reports whether the ring has the key.
func (r *Ring) Holds(id uint32) bool {
	r.mu.Lock()
	has := r.ids[id]
	r.mu.Unlock()
	if has {
		return true
	}
	if r.reload() != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

// Seal hides plain at a place, under the primary key.
func (r *Ring) Seal(p Place, plain []byte) ([]byte, error) {
	keys, _, err := r.now()
	if err != nil {
		return nil, err // never under a key that has been replaced
	}
	key := make([]byte, dataKey)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a data key: %w", err)
	}
	data, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	value, err := data.Encrypt(plain, p.bind("value"))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return wrap(keys, p, key, value)
}

func wrap(keys tink.AEAD, p Place, key, value []byte) ([]byte, error) {
	wrapped, err := keys.Encrypt(key, p.bind("data key"))
	if err != nil {
		return nil, fmt.Errorf("seal the data key: %w", err)
	}
	out := append([]byte{format}, 0, 0)
	binary.BigEndian.PutUint16(out[1:], uint16(len(wrapped))) //nolint:gosec // G115: 32 bytes and what Tink adds
	return append(append(out, wrapped...), value...), nil
}

// split takes a sealed value apart.
func split(sealed []byte) (id uint32, wrapped, value []byte, err error) {
	if len(sealed) < headSize || sealed[0] != format {
		return 0, nil, nil, ErrSealed
	}
	n := int(binary.BigEndian.Uint16(sealed[1:]))
	if n < tinkHead || len(sealed) < headSize+n || sealed[headSize] != tinkStart {
		return 0, nil, nil, ErrSealed
	}
	wrapped, value = sealed[headSize:headSize+n], sealed[headSize+n:]
	return binary.BigEndian.Uint32(wrapped[1:]), wrapped, value, nil
}

// KeyOf is the id of the key under which a value is sealed.
func KeyOf(sealed []byte) (uint32, error) {
	id, _, _, err := split(sealed)
	return id, err
}

// Open returns what was sealed at that place.
func (r *Ring) Open(p Place, sealed []byte) (Value, error) {
	v, _, err := r.open(p, sealed)
	return v, err
}

func (r *Ring) open(p Place, sealed []byte) (v Value, key []byte, err error) {
	id, wrapped, value, err := split(sealed)
	if err != nil {
		return Value{}, nil, err
	}
	if !r.Holds(id) {
		return Value{}, nil, fmt.Errorf("key %08x: %w", id, ErrKey)
	}
	r.mu.Lock()
	keys := r.keys
	r.mu.Unlock()
	// What the library has to say of either is no help to anybody but an attacker.
	if key, err = keys.Decrypt(wrapped, p.bind("data key")); err != nil {
		return Value{}, nil, ErrSealed
	}
	data, err := subtle.NewAESGCM(key)
	if err != nil {
		return Value{}, nil, ErrSealed
	}
	plain, err := data.Decrypt(value, p.bind("value"))
	if err != nil {
		return Value{}, nil, ErrSealed
	}
	return Value{plain}, key, nil
}

// rewrap seals the data key of a value under the primary key, nil when it is
// already.
func (r *Ring) rewrap(p Place, sealed []byte) ([]byte, error) {
	keys, main, err := r.now()
	if err != nil {
		return nil, err
	}
	id, _, value, err := split(sealed)
	if err != nil || id == main {
		return nil, err
	}
	_, key, err := r.open(p, sealed)
	if err != nil {
		return nil, err
	}
	return wrap(keys, p, key, value)
}
