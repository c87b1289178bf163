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
)

// ErrBrokeOff says that an answer ended before it was whole.
var ErrBrokeOff = errors.New("the answer broke off before it was whole: ask again")

const kindEvents = "text/event-stream"

// Ask asks a question and hands heard the pieces of the answer's text as they
// come. What is returned without an error is whole.
func (s *Session) Ask(ctx context.Context, p *AnswerQuestionParams, q KnowledgeQuestion, heard func(text string) error) (KnowledgeAnswer, error) {
	resp, err := s.AnswerQuestion(ctx, p, q, func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", kindEvents)
		return nil
	})
	if err != nil {
		return KnowledgeAnswer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return Into[KnowledgeAnswer](resp, nil)
	}
	a, err := readAnswer(resp.Body, heard)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		if ctx.Err() != nil {
			return a, context.Cause(ctx)
		}
		return a, err
	}
	return a, nil
}

// readAnswer reads events to the one that has the whole answer.
func readAnswer(r io.Reader, heard func(text string) error) (a KnowledgeAnswer, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxFrame)
	var name string
	var data []string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data = append(data, value)
		}
		if lines.Text() != "" {
			continue
		}
		text := []byte(strings.Join(data, "\n"))
		switch name {
		case "token":
			var t struct{ Text string }
			if err := json.Unmarshal(text, &t); err != nil {
				return a, fmt.Errorf("read an event: %w", err)
			}
			if err := heard(t.Text); err != nil {
				return a, err
			}
		case "problem":
			var p struct{ Status int }
			_ = json.Unmarshal(text, &p) // without one it is a problem all the same
			return a, problem(&http.Response{StatusCode: p.Status, Header: http.Header{}}, text)
		case "answer":
			if err := json.Unmarshal(text, &a); err != nil {
				return a, fmt.Errorf("read the answer: %w", err)
			}
			return a, nil
		}
		name, data = "", nil
	}
	return a, errors.Join(ErrBrokeOff, lines.Err())
}
