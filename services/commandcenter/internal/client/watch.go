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

// Watch hands each what becomes of a job, until it is over, ctx ends or each fails. A
// stream that breaks is taken up again.
func (s *Session) Watch(ctx context.Context, job int64, each func(JobResponse) error) error {
	over, began := false, time.Time{}
	for !over {
		if pause := time.Second - time.Since(began); pause > 0 && !began.IsZero() {
			if err := s.wait(ctx, pause); err != nil {
				return err
			}
		}
		heard := !began.IsZero()
		began = time.Now()
		resp, err := s.WatchJob(ctx, job, &WatchJobParams{})
		if err == nil && resp.StatusCode != http.StatusOK {
			_, err = Into[JobResponse](resp, nil)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var away *UnreachableError
		if errors.As(err, &away) && heard {
			continue // it was there, and may come back
		}
		if err != nil {
			return err
		}
		over, err = readStates(resp.Body, each)
		if err := errors.Join(err, resp.Body.Close()); err != nil && ctx.Err() == nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// readStates reads the events of a job, and says whether the last one was read.
func readStates(r io.Reader, each func(JobResponse) error) (over bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxFrame)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var j JobResponse
		if err := json.Unmarshal([]byte(data), &j); err != nil {
			return false, fmt.Errorf("read an event: %w", err)
		}
		if err := each(j); err != nil {
			return false, err
		}
		over = Over(j)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return over, fmt.Errorf("read events: %w", err)
	}
	return over, nil // else the stream broke
}

// Over reports whether nothing more comes of a job.
func Over(j JobResponse) bool {
	switch string(j.Status) {
	case "completed", "failed", "cancelled":
		return true
	}
	return false
}
