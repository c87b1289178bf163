package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
)

// Compatible is the kind of a language model that speaks as OpenAI's did before its
// newer words, as Ollama, vLLM and llama.cpp do.
const Compatible = "compatible"

// ChatConfig says which language model.
type ChatConfig struct {
	Kind    string // OpenAI or Compatible
	URL     string // before /chat/completions; "" is the public one of OpenAI
	Model   string
	Key     string // "" sends none
	KeyFile string // a file with the key, read when the service is opened
}

// ErrChatAway says that the language model cannot be asked now.
var ErrChatAway = errs.New(errs.Unavailable, "the language model does not answer").After(10 * time.Second)

// Validate returns what is wrong with c.
func (c ChatConfig) Validate() error {
	switch {
	case c.Kind != OpenAI && c.Kind != Compatible:
		return fmt.Errorf("kind: %s or %s", OpenAI, Compatible)
	case c.Kind == Compatible && c.URL == "":
		return errors.New("url: a compatible service has no public address")
	}
	return address{c.base(), c.Model, c.Key, c.KeyFile}.validate()
}

func (c ChatConfig) base() string {
	if c.URL != "" {
		return strings.TrimSuffix(c.URL, "/")
	}
	return "https://api.openai.com/v1"
}

// Chat is a language model. Safe for concurrent use.
type Chat struct {
	*caller
	c ChatConfig
}

// OpenChat returns the service; it is not asked before there is a question.
func OpenChat(c ChatConfig) (*Chat, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	key, err := keyOf(c.Key, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	c.Key = key
	s := &Chat{newCaller("the language model", key, ErrChatAway), c}
	// It thinks for as long as its caller waits.
	s.client = client(0, 0)
	return s, nil
}

// Name is the model as it is set.
func (s *Chat) Name() string { return s.c.Model }

// soon is how long a service may ask to be left alone within a call.
const soon = 5 * time.Second

// Complete has the model write. What is cut off before the model says that it is
// done has failed; it is tried again only while nothing of it was heard.
func (s *Chat) Complete(ctx context.Context, p answer.Prompt, said func(text string) error) (end answer.Completion, err error) {
	err = s.try(ctx, askTries, func() (time.Duration, error) {
		res, wait, err := s.send(ctx, func(ctx context.Context) (*http.Request, error) { return s.request(ctx, p) })
		if err != nil {
			if wait > soon {
				wait = -1
			}
			return wait, err
		}
		heard := false
		end, err = read(res, func(text string) error {
			heard = true
			return said(text)
		})
		if err = errors.Join(err, res.Body.Close()); err != nil && heard {
			wait = -1
		}
		return wait, err
	})
	return end, s.failure(err)
}

// failure gives an error its kind and words for who asked.
func (s *Chat) failure(err error) error {
	var r *refusal
	switch {
	case !errors.As(err, &r):
		return err
	case r.status == http.StatusTooManyRequests:
		return errs.Wrap(errs.Unavailable, err, "the language model takes no more questions for now").After(max(r.after, soon))
	case r.status >= 500 || r.status == http.StatusRequestTimeout:
		return errs.Wrap(errs.Unavailable, err, ErrChatAway.Msg).After(max(r.after, soon))
	}
	return errs.Wrap(errs.Upstream, err, fmt.Sprintf("the language model refuses the question with status %d: the log of this instance has its words", r.status))
}

func (s *Chat) request(ctx context.Context, p answer.Prompt) (*http.Request, error) {
	body := map[string]any{
		"model": s.c.Model, "stream": true, "stream_options": map[string]any{"include_usage": true},
		"messages": []map[string]string{{"role": "system", "content": p.System}, {"role": "user", "content": p.User}},
	}
	if s.c.Kind == OpenAI { // whose newer models take neither the old word nor a temperature
		body["max_completion_tokens"] = p.Tokens
	} else {
		body["max_tokens"], body["temperature"] = p.Tokens, 0
	}
	req, err := post(ctx, s.c.base()+"/chat/completions", body)
	if err == nil {
		req.Header.Set("Accept", "text/event-stream")
		if s.c.Key != "" {
			req.Header.Set("Authorization", "Bearer "+s.c.Key)
		}
	}
	return req, err
}

// Bounds of a stream.
const (
	longestLine = 1 << 20 // bytes
	longestTalk = 8 << 20 // bytes
)

// piece is what comes in one event of a stream.
type piece struct {
	Model   string `json:"model"`
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
			Refusal string `json:"refusal"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

var (
	errUnread = errs.New(errs.Upstream, "the language model answers in a way that is not understood")
	errBroke  = errs.New(errs.Upstream, "the language model broke off")
)

// read hands on what is said in a stream, to its end.
func read(res *http.Response, said func(string) error) (end answer.Completion, err error) {
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return end, errUnread.Because(fmt.Errorf("content type %q", res.Header.Get("Content-Type")))
	}
	lines := bufio.NewScanner(io.LimitReader(res.Body, longestTalk))
	lines.Buffer(nil, longestLine)
	done := false
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok { // of an event that says nothing here, or none
			continue
		}
		if data = strings.TrimSpace(data); data == "[DONE]" {
			return end, nil
		}
		var p piece
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			return end, errUnread.Because(err)
		}
		if len(p.Error) > 0 && string(p.Error) != "null" {
			return end, errBroke.Because(fmt.Errorf("it says %.300q", p.Error))
		}
		if p.Model != "" {
			end.Model = strings.ToValidUTF8(p.Model[:min(len(p.Model), 200)], "")
		}
		if p.Usage != nil {
			end.Usage = &answer.Usage{Prompt: p.Usage.Prompt, Completion: p.Usage.Completion}
		}
		for _, c := range p.Choices {
			if text := c.Delta.Content + c.Delta.Refusal; text != "" {
				if err := said(text); err != nil {
					return end, err
				}
			}
			switch c.Finish {
			case "":
				continue
			case "length":
				end.Cut = true
			case "content_filter":
				return end, errs.New(errs.Upstream, "the service of the language model holds the answer back")
			}
			done = true
		}
	}
	if err := lines.Err(); err != nil {
		return end, errBroke.Because(err)
	}
	if !done {
		return end, errBroke
	}
	return end, nil
}
