package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"time"
)

// Finish reads the answer of a write as a T, however it comes: at once, or as
// 202 and later under its operation, for which it waits until ctx ends. told, if any,
// hears how the operation is getting on meanwhile.
func Finish[T any](ctx context.Context, s *Session, resp *http.Response, err error, told ...func(Operation)) (T, error) {
	var id string
	if err == nil && resp.StatusCode == http.StatusAccepted {
		id = path.Base(resp.Header.Get("Location"))
	}
	v, status, err := intoWithStatus[T](resp, err)
	if err != nil || status != http.StatusAccepted {
		return v, err
	}
	if id == "" || id == "." || id == "/" {
		return v, errors.New("the server took the write (202), but did not say where to ask for its outcome")
	}
	var all func(Operation)
	if len(told) > 0 {
		all = told[0]
	}
	return await[T](ctx, s, id, all)
}

// longPoll is for how long the server is asked to wait with one answer.
const (
	longPoll = 20 // seconds
	toldPoll = 2  // where somebody hears how far it is
)

// Ended returns the operation when it has ended, be it well or not. told, which
// may be nil, hears each answer before. It asks until ctx ends; the error then
// says what the operation was doing.
func (s *Session) Ended(ctx context.Context, id string, told func(Operation)) (Operation, error) {
	wait, poll := longPoll, longPoll
	if told != nil {
		wait, poll = 0, toldPoll // so that it hears at once
	}
	for ; ; wait = poll {
		op, err := Into[Operation](s.GetOperation(ctx, id, &GetOperationParams{Wait: &wait}))
		if err != nil {
			return op, fmt.Errorf("operation %s: %w", id, err)
		}
		if op.Status != OperationStatusPending {
			return op, nil
		}
		if told != nil {
			told(op)
		}
		// The server has waited already, unless it bounds that more tightly.
		if err := s.wait(ctx, 200*time.Millisecond); err != nil {
			return op, fmt.Errorf("operation %s is still pending: %w", id, err)
		}
	}
}

func await[T any](ctx context.Context, s *Session, id string, told func(Operation)) (T, error) {
	var v T
	op, err := s.Ended(ctx, id, told)
	if err != nil {
		return v, err
	}
	if err := op.Failure(); err != nil || op.Answer == nil {
		return v, err
	}
	return remarshal[T](op.Answer)
}

// Failure is what an operation that has failed would have been answered with,
// an [APIError]; nil for any other.
func (op Operation) Failure() error {
	if op.Status != OperationStatusFailed {
		return nil
	}
	e := &APIError{Status: http.StatusInternalServerError}
	if op.HttpStatus != nil {
		e.Status = *op.HttpStatus
	}
	if body, err := json.Marshal(op.Answer); err == nil {
		return problem(&http.Response{StatusCode: e.Status}, body)
	}
	return e
}

func remarshal[T any](from any) (T, error) {
	var v T
	data, err := json.Marshal(from)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(data, &v)
}
