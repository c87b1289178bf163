package bus

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Delivery is one message of a stream, at one attempt.
type Delivery struct {
	Subject  string
	Header   nats.Header
	Data     []byte
	Sequence uint64    // in the stream
	Time     time.Time // when the stream stored it
	// Attempt is from 1: how many tries have failed in this process, and one.
	Attempt int
	// Delivered is how often the stream has handed the message out, also to
	// processes that did not come to run it.
	Delivered int

	waited  int         // tries that found something away
	attrs   []slog.Attr // of the log line
	outcome string      // for the line and the metric, when it is not the usual one
	after   func()      // once the message is acknowledged, and only then
}

// again reports whether the message may have run before.
func (d *Delivery) again() bool { return d.Delivered > 1 || d.Attempt > 1 || d.waited > 0 }

// Note adds to the log line of this delivery.
func (d *Delivery) Note(attrs ...slog.Attr) { d.attrs = append(d.attrs, attrs...) }

// dropped ends a message without effect.
type dropped struct{ err error }

func (d *dropped) Error() string { return d.err.Error() }
func (d *dropped) Unwrap() error { return d.err }

// Drop says that the message must not come again: it is terminated in the
// stream with err as the reason, logged and counted. nil stays nil.
func Drop(err error) error {
	if err == nil {
		return nil
	}
	return &dropped{err}
}

// buried makes a message a dead letter at once.
type buried struct{ err error }

func (d *buried) Error() string { return d.err.Error() }
func (d *buried) Unwrap() error { return d.err }

// Bury says that no further try can help: the message becomes a dead letter
// now. nil stays nil.
func Bury(err error) error {
	if err == nil {
		return nil
	}
	return &buried{err}
}

type delayed struct {
	err error
	d   time.Duration
}

func (d *delayed) Error() string { return d.err.Error() }
func (d *delayed) Unwrap() error { return d.err }

// RetryAfter says when the message may be tried again; at most a minute, for
// meanwhile it occupies its consumer. nil stays nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &delayed{err, min(max(d, 0), maxRetryAfter)}
}
