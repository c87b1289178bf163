package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"
	"time"
)

// Named is one thing that a call was about: "document_id", "12".
type Named struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Entry is one line of a log: who did what, to what, from where. It holds no
// body, no answer and no secret.
type Entry struct {
	Chain      int64     `json:"project_id"` // whose log; 0 for the instance's
	Seq        int64     `json:"seq"`        // from 1, without gaps
	ID         string    `json:"id"`         // of the call
	RecordedAt time.Time `json:"recorded_at"`
	AcceptedAt time.Time `json:"accepted_at"`
	// LastAt and Count are of denials that are alike and told of at once; of all
	// else they are AcceptedAt and 1.
	LastAt    time.Time `json:"last_at"`
	Count     int       `json:"count"`
	Service   string    `json:"service"`
	Operation string    `json:"operation"`
	Actor     string    `json:"actor"`  // "" for nobody
	KeyID     string    `json:"key_id"` // API key
	Status    int       `json:"status"` // of HTTP; 0 with a reason
	Reason    string    `json:"reason"` // "" when nothing was refused
	Address   string    `json:"address"`
	RequestID string    `json:"request_id"`
	TraceID   string    `json:"trace_id"`
	Target    []Named   `json:"target"`
	Prev      string    `json:"prev"`
	Hash      string    `json:"hash"`
}

// Outcome is how a call ended, in one word.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Denied  Outcome = "denied"  // who called may not, or not so often
	Refused Outcome = "refused" // what was asked for cannot be
	Failed  Outcome = "failed"  // a fault of the system
)

// Reasons are the kinds of failures of an outcome; nil for [OK] and [Refused],
// which is every other kind.
func (o Outcome) Reasons() []string {
	switch o {
	case Denied:
		return []string{"unauthenticated", "forbidden", "rate_limited"}
	case Failed:
		return []string{"internal", "upstream", "unavailable", "timeout", "interrupted"}
	}
	return nil
}

// Outcome is the entry's.
func (e Entry) Outcome() Outcome {
	if e.Reason == "" {
		return OK
	}
	for _, o := range []Outcome{Denied, Failed} {
		for _, r := range o.Reasons() {
			if r == e.Reason {
				return o
			}
		}
	}
	return Refused
}

const (
	seal    = "cc-audit-1\n"
	seconds = "2006-01-02T15:04:05.000000Z"
)

// Sum is the hash that the entry must have.
func (e Entry) Sum() string {
	d := digest{h: sha256.New()}
	d.h.Write([]byte(seal))
	d.text(e.Prev)
	d.number(e.Chain)
	d.number(e.Seq)
	d.text(e.ID)
	d.time(e.RecordedAt)
	d.time(e.AcceptedAt)
	d.time(e.LastAt)
	d.text(e.Service)
	d.text(e.Operation)
	d.text(e.Actor)
	d.text(e.KeyID)
	d.number(int64(e.Status))
	d.text(e.Reason)
	d.text(e.Address)
	d.text(e.RequestID)
	d.text(e.TraceID)
	d.number(int64(e.Count))
	d.number(int64(len(e.Target)))
	for _, t := range e.Target {
		d.text(t.Name)
		d.text(t.Value)
	}
	return hex.EncodeToString(d.h.Sum(nil))
}

type digest struct{ h hash.Hash }

func (d digest) text(s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	d.h.Write(n[:])
	d.h.Write([]byte(s))
}

func (d digest) number(n int64)   { d.text(strconv.FormatInt(n, 10)) }
func (d digest) time(t time.Time) { d.text(t.UTC().Format(seconds)) }
