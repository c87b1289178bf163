package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnAnswerIsHeardInPiecesAndReturnedWhole(t *testing.T) {
	t.Parallel()
	const token = "event: token\nid: 2\ndata: {\"text\":\"So\"}\n\n"
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		body  string
		heard string
		leave bool
		fails func(error) bool // nil: it is whole
	}{
		"whole":      {"event: sources\nid: 1\ndata: []\n\n: keep-alive\n\n" + token + token + "event: answer\ndata: {\"answer\":\ndata: \"SoSo\"}\n\n", "SoSo", false, nil},
		"cut":        {token, "So", false, func(err error) bool { return errors.Is(err, ErrBrokeOff) }},
		"cut within": {token + "event: answer\ndata: {\"answer\":\"SoSo\"}\n", "So", false, func(err error) bool { return errors.Is(err, ErrBrokeOff) }},
		"a problem": {token + "event: problem\ndata: {\"status\":502,\"detail\":\"it broke off\"}\n\n", "So", false, func(err error) bool {
			var p *APIError
			return errors.As(err, &p) && p.Status == 502 && p.Detail == "it broke off"
		}},
		"no JSON":    {"event: token\ndata: {\n\n", "", false, func(err error) bool { return err != nil }},
		"no answer":  {"event: answer\ndata: {\n\n", "", false, func(err error) bool { return err != nil && !errors.Is(err, ErrBrokeOff) }},
		"who leaves": {token, "So", true, func(err error) bool { return errors.Is(err, gone) }},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") != kindEvents || r.Method != http.MethodPost || r.URL.Path != "/api/v1/knowledge/answer" {
				t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
			}
			w.Header().Set("Content-Type", kindEvents)
			if _, err := io.WriteString(w, c.body); err != nil {
				t.Error(err)
			}
		}))
		s, err := New(Config{Server: server.URL, Token: "t", Store: NewStore(t.TempDir() + "/c.json")})
		if err != nil {
			t.Fatal(err)
		}
		var heard strings.Builder
		a, err := s.Ask(t.Context(), &AnswerQuestionParams{}, KnowledgeQuestion{Question: "why?"}, func(text string) error {
			heard.WriteString(text)
			if c.leave {
				return gone
			}
			return nil
		})
		if whole := c.fails == nil; whole && (err != nil || a.Answer != c.heard) || !whole && !c.fails(err) || heard.String() != c.heard {
			t.Errorf("%s: %+v, %v, heard %q", name, a, err, heard.String())
		}
		server.Close()
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	s, err := New(Config{Server: server.URL, Token: "t", Store: NewStore(t.TempDir() + "/c.json")})
	if err != nil {
		t.Fatal(err)
	}
	var p *APIError
	if _, err := s.Ask(t.Context(), &AnswerQuestionParams{}, KnowledgeQuestion{Question: "why?"}, nil); !errors.As(err, &p) || p.Status != 503 {
		t.Errorf("%v", err)
	}
}
