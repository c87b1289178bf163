package instance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Heartbeat is what an instance says of itself. Its texts are valid UTF-8 and
// can be printed.
type Heartbeat struct {
	Slug         string    // lower case
	ID           string    // tells instances of the same slug apart, "" when it gave none
	HubURL       string    // http(s), "" when it gave none that can be used
	Namespace    string    // hub.<slug>, "" when it gave none
	Version      string    // of its product
	Contract     string    // version of the HTTP contract that it serves
	Capabilities []string  // what it can be asked for
	Degraded     bool      // it says so itself
	Load         *float64  // share of its processors in use, 0 to 1; nil when it says none
	Sent         time.Time // by its clock; zero when it says none
	Heard        time.Time // when it came in, by our clock

	Sequence int64         // rises from one to the next; 0 when it says none
	Interval time.Duration // between two of them; 0 when it says none

	Key       string // public nkey that has signed it, "" when unsigned
	SealKey   string // public curve nkey for what only it may read
	Signature string // base64
	signed    string
}

// Signer is the key of an instance.
type Signer interface {
	// Public returns the public nkey.
	Public() string
	Sign(text []byte) ([]byte, error)
}

// Verify reports ErrSignature when the heartbeat is signed, and not by the key
// that it names. check verifies a signature.
func (hb Heartbeat) Verify(check func(key string, text, signature []byte) error) error {
	if hb.Key == "" {
		return nil
	}
	sig, err := base64.StdEncoding.DecodeString(hb.Signature)
	if err != nil {
		return fmt.Errorf("%w: not base64", ErrSignature)
	}
	if err := check(hb.Key, []byte(hb.signed), sig); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// Encode writes the heartbeat in the flat form that instances of every version
// read, signed by key unless that is nil.
func (hb Heartbeat) Encode(key Signer) ([]byte, error) {
	status, health := Online, "healthy"
	if hb.Degraded {
		status, health = Degraded, string(Degraded)
	}
	b := body{
		slug: hb.Slug, id: hb.ID, hubURL: hb.HubURL, namespace: "hub." + hb.Slug, version: hb.Version, status: string(status), health: health,
		timestamp: hb.Sent.UTC().Format("2006-01-02T15:04:05.000000-07:00"), contract: hb.Contract, capabilities: hb.Capabilities, sealKey: hb.SealKey,
	}
	if hb.Load != nil {
		b.load = strconv.FormatFloat(math.Round(*hb.Load*1000)/1000, 'f', -1, 64) // others write it the same way
	}
	if hb.Sequence > 0 {
		b.sequence = strconv.FormatInt(hb.Sequence, 10)
	}
	if hb.Interval > 0 {
		b.interval = strconv.FormatFloat(hb.Interval.Seconds(), 'f', -1, 64)
	}
	if key != nil {
		b.key = key.Public()
		sig, err := key.Sign([]byte(b.signed()))
		if err != nil {
			return nil, fmt.Errorf("sign a heartbeat: %w", err)
		}
		b.signature = base64.StdEncoding.EncodeToString(sig)
	}
	return json.Marshal(b.wire())
}

// wire is the body in JSON, in the names that are read.
func (b body) wire() map[string]any {
	m := map[string]any{
		"project_slug": b.slug, "hub_url": b.hubURL, "mesh_namespace": b.namespace, "timestamp": b.timestamp, "version": b.version,
		"status": b.status, "health": b.health,
	}
	for name, text := range map[string]string{
		"instance_id": b.id, "contract": b.contract, "key": b.key, "seal_key": b.sealKey, "signature": b.signature,
	} {
		if text != "" {
			m[name] = text
		}
	}
	for name, number := range map[string]string{"load": b.load, "sequence": b.sequence, "interval": b.interval} {
		if number != "" {
			m[name] = json.Number(number)
		}
	}
	if len(b.capabilities) > 0 {
		m["capabilities"] = b.capabilities
	}
	return m
}
