package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrReset says that some of what was said is not kept any more: the following
// goes on behind it.
var ErrReset = errors.New("what was said since the last event is not kept any more")

// maxFrame bounds one event of a stream, in bytes.
const maxFrame = 4 << 20

// Follow hands each the facts of the project from p.After on, or from now on,
// until ctx ends or each fails. A stream that breaks is taken up where it
// ended. skipped, which may be nil, is told of [ErrReset].
func (s *Session) Follow(ctx context.Context, p FollowEventsParams, each func(Event) error, skipped func(error)) error {
	last, began := "", time.Time{}
	for {
		if last != "" {
			p.LastEventID, p.After = &last, nil
		}
		if pause := time.Second - time.Since(began); pause > 0 && !began.IsZero() {
			if err := s.wait(ctx, pause); err != nil {
				return ctx.Err()
			}
		}
		began = time.Now()
		resp, err := s.FollowEvents(ctx, &p)
		if err == nil && resp.StatusCode != http.StatusOK {
			_, err = Into[Event](resp, nil)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var away *UnreachableError
		if errors.As(err, &away) && last != "" {
			continue // it was there, and may come back
		}
		if err != nil {
			return err
		}
		err = readFrames(resp.Body, &last, each, skipped)
		if err := errors.Join(err, resp.Body.Close()); err != nil && ctx.Err() == nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// readFrames reads server-sent events to their end, however it comes, and keeps
// the last id. It fails when each does.
func readFrames(r io.Reader, last *string, each func(Event) error, skipped func(error)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxFrame)
	var name, id, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if lines.Text() != "" {
				continue // a comment
			}
			if name == "reset" && skipped != nil {
				skipped(ErrReset)
			}
			if name == "" && data != "" {
				var e Event
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					return fmt.Errorf("read an event: %w", err)
				}
				if err := each(e); err != nil {
					return err
				}
			}
			if id != "" {
				*last = id
			}
			name, id, data = "", "", ""
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("read events: %w", err)
	}
	return nil // the stream broke; it is taken up again
}
