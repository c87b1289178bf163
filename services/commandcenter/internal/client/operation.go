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
// 202 and later under its operation, for which it waits until ctx ends.
func Finish[T any](ctx context.Context, s *Session, resp *http.Response, err error) (T, error) {
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
	return await[T](ctx, s, id)
}

func await[T any](ctx context.Context, s *Session, id string) (T, error) {
	var v T
	for pause := 200 * time.Millisecond; ; pause = min(pause*3/2, 3*time.Second) {
		op, err := Into[Operation](s.GetOperation(ctx, id))
		if err != nil {
			return v, fmt.Errorf("operation %s: %w", id, err)
		}
		switch op.Status {
		case OperationStatusPending:
			if err := s.wait(ctx, pause); err != nil {
				return v, fmt.Errorf("operation %s is still pending: %w", id, err)
			}
			continue
		case OperationStatusSucceeded:
			if op.Answer == nil {
				return v, nil
			}
			return remarshal[T](op.Answer)
		}
		e := &APIError{Status: http.StatusInternalServerError}
		if op.HttpStatus != nil {
			e.Status = *op.HttpStatus
		}
		if body, err := json.Marshal(op.Answer); err == nil {
			return v, problem(&http.Response{StatusCode: e.Status}, body)
		}
		return v, e
	}
}

func remarshal[T any](from any) (T, error) {
	var v T
	data, err := json.Marshal(from)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(data, &v)
}
