package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// ErrBusy says that more callers wait for their turn than may.
var ErrBusy = errs.New(errs.Unavailable, "too many logins at this moment, try again").After(time.Second)

const (
	saltBytes = 16
	keyBytes  = 32
)

// Params are the costs of one hash.
type Params struct {
	MemoryKiB   uint32 // memory of one hash
	Iterations  uint32 // passes over it
	Parallelism uint8  // lanes
}

// Limits of what is believed of a stored hash: a damaged row must not be able
// to ask for all the memory of the machine.
const (
	maxMemoryKiB   = 1 << 20
	maxIterations  = 64
	maxParallelism = 64
)

func (p Params) validate() error {
	switch {
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return fmt.Errorf("argon2id iterations %d: want 1 to %d", p.Iterations, maxIterations)
	case p.Parallelism < 1 || p.Parallelism > maxParallelism:
		return fmt.Errorf("argon2id parallelism %d: want 1 to %d", p.Parallelism, maxParallelism)
	case p.MemoryKiB < 8*uint32(p.Parallelism) || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("argon2id memory %d KiB: want %d to %d", p.MemoryKiB, 8*uint32(p.Parallelism), maxMemoryKiB)
	}
	return nil
}

// Hasher makes and compares hashes. It is safe for concurrent use.
type Hasher struct {
	params Params
	turns  chan struct{}
	queue  int64        // how many may wait
	wait   atomic.Int64 // how many do
	dummy  encoded      // compared against when there is no account, for the time it takes
}

// New returns a hasher of these costs that runs at most concurrent hashes at a
// time and lets at most queue callers wait.
func New(p Params, concurrent, queue int) (*Hasher, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	if concurrent < 1 || queue < 0 {
		return nil, fmt.Errorf("%d concurrent password hashes and %d waiting: want at least 1 and 0", concurrent, queue)
	}
	h := &Hasher{params: p, turns: make(chan struct{}, concurrent), queue: int64(queue)}
	h.dummy = encoded{params: p, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
	if _, err := rand.Read(h.dummy.salt); err != nil {
		return nil, fmt.Errorf("read random salt: %w", err)
	}
	if _, err := rand.Read(h.dummy.key); err != nil {
		return nil, fmt.Errorf("read random key: %w", err)
	}
	return h, nil
}

// InTurn runs work when one of the places is free, and returns its error. When
// ctx ends before, work does not run and the error is that of ctx; when too many
// wait already, it is [ErrBusy], so that a flood of logins fills no queue but
// its own. Everything that must not overtake the comparison (looking whether the
// account is locked, counting the failure) belongs into work.
func (h *Hasher) InTurn(ctx context.Context, work func(ctx context.Context) error) error {
	select {
	case h.turns <- struct{}{}:
	default:
		if err := h.await(ctx); err != nil {
			return err
		}
	}
	defer func() { <-h.turns }()
	if ctx.Err() != nil {
		return fmt.Errorf("wait for a turn to hash: %w", context.Cause(ctx))
	}
	return work(ctx)
}

func (h *Hasher) await(ctx context.Context) error {
	defer h.wait.Add(-1)
	if h.wait.Add(1) > h.queue {
		return ErrBusy
	}
	select {
	case h.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a turn to hash: %w", context.Cause(ctx))
	}
}

// Hash returns the PHC string of plain under a fresh salt. Call it within
// [Hasher.InTurn].
func (h *Hasher) Hash(plain string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("read random salt: %w", err)
	}
	e := encoded{params: h.params, salt: salt, key: derive(plain, salt, h.params, keyBytes)}
	return e.String(), nil
}

// Verify reports whether plain is the password of the stored hash, and whether
// that hash should be made anew because its costs are not today's. An empty
// stored hash never matches and takes as long as one that is there. A hash that
// cannot be read is an error. Call it within [Hasher.InTurn].
func (h *Hasher) Verify(plain, stored string) (match, stale bool, err error) {
	e := h.dummy
	if stored != "" {
		if e, err = parse(stored); err != nil {
			return false, false, err
		}
	}
	key := derive(plain, e.salt, e.params, uint32(len(e.key))) //nolint:gosec // parse bounds the length
	match = subtle.ConstantTimeCompare(key, e.key) == 1 && stored != ""
	return match, match && e.params != h.params, nil
}

// derive hashes the composed form of plain, so that the same characters typed
// on another keyboard are the same password.
func derive(plain string, salt []byte, p Params, n uint32) []byte {
	return argon2.IDKey([]byte(norm.NFC.String(plain)), salt, p.Iterations, p.MemoryKiB, p.Parallelism, n)
}

type encoded struct {
	params    Params
	salt, key []byte
}

func (e encoded) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		e.params.MemoryKiB, e.params.Iterations, e.params.Parallelism,
		b64.EncodeToString(e.salt), b64.EncodeToString(e.key))
}

var errEncoding = errors.New("stored password hash: not argon2id in PHC form")

func parse(s string) (encoded, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return encoded{}, errEncoding
	}
	var e encoded
	// Sscanf stops at the first difference and ignores what follows, so the
	// text is printed again and compared.
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &e.params.MemoryKiB, &e.params.Iterations, &e.params.Parallelism)
	if err != nil {
		return encoded{}, errEncoding
	}
	if err := e.params.validate(); err != nil {
		return encoded{}, fmt.Errorf("stored password hash: %w", err)
	}
	b64 := base64.RawStdEncoding
	if e.salt, err = b64.DecodeString(parts[4]); err != nil || len(e.salt) < 8 || len(e.salt) > 64 {
		return encoded{}, errEncoding
	}
	if e.key, err = b64.DecodeString(parts[5]); err != nil || len(e.key) < 16 || len(e.key) > 64 {
		return encoded{}, errEncoding
	}
	if e.String() != s {
		return encoded{}, errEncoding
	}
	return e, nil
}
