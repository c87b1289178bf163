package natsd

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog turns the server's lines into slog records and remembers those
// that mean that the server, or a part of its store, cannot be used. The
// server reports such things to its log alone.
type serverLog struct {
	log *slog.Logger

	mu       sync.Mutex
	starting bool
	store    []string // while starting: what could not be recovered
	fatal    func(msg string)
}

// storeFaults start the warnings with which JetStream leaves a stream or a
// consumer out at start.
var storeFaults = []string{
	"Missing stream metafile", "Error reading metafile", "Missing stream checksum", "Error reading Stream metafile",
	"Stream metafile", "Bad stream encryption", "Error decrypting", "Error unmarshalling", "Detected unsupported",
	"Error recreating", "Error adding consumer", "Missing consumer", "Error reading consumer", "Consumer metafile",
	"Detected orphaned", "Error restoring", "Detected corrupt", "Error adding stream",
}

// Noticef logs at debug: the server's life is told by this product's own lines,
// but for whom it is joined with.
func (l *serverLog) Noticef(f string, a ...any) {
	level := slog.LevelDebug
	if msg := fmt.Sprintf(f, a...); strings.Contains(msg, "Leafnode connection ") {
		level = slog.LevelInfo
	}
	l.say(level, f, a)
}

// Warnf logs a warning and keeps it when it says that something stored is lost.
func (l *serverLog) Warnf(f string, a ...any) {
	msg := l.say(slog.LevelWarn, f, a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.starting {
		return
	}
	for _, p := range storeFaults {
		if strings.HasPrefix(msg, p) {
			l.store = append(l.store, msg)
			return
		}
	}
}

// Fatalf ends the server's start, or fails the running part.
func (l *serverLog) Fatalf(f string, a ...any) { l.fatal(l.say(slog.LevelError, f, a)) }

// Errorf logs an error.
func (l *serverLog) Errorf(f string, a ...any) { l.say(slog.LevelError, f, a) }

// Debugf logs at debug.
func (l *serverLog) Debugf(f string, a ...any) { l.say(slog.LevelDebug, f, a) }

// Tracef drops the line: it would repeat every message.
func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) say(level slog.Level, f string, a []any) string {
	msg := strings.TrimSpace(fmt.Sprintf(f, a...))
	l.log.Log(context.Background(), level, "nats.server", "line", msg)
	return msg
}

// started ends the collection and returns what could not be recovered.
func (l *serverLog) started() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starting = false
	return l.store
}
