package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// Answer is what a message is answered with: JSON, unless Body is empty.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// May reports whether the caller of a message may call an operation. Its error is
// that nobody can say at the moment.
type May func(*contract.Operation) (bool, error)

// The codes of JSON-RPC 2.0 (section 5.1).
const (
	notJSON    = -32700
	notMessage = -32600
	noMethod   = -32601
	ourFault   = -32603
)

// withoutBatches is the first revision of the protocol that has none; unsaid is the
// one of a caller that names none (2025-11-25, transports).
const (
	withoutBatches = "2025-06-18"
	unsaid         = "2025-03-26"
	ownErrors      = "2026-07-28" // from here on a method that is not there has a status of its own, which the SDK knows
)

// maxBatch is the most messages of a batch, and maxBatchAnswer how many bytes of answers
// are given before the rest is left undone.
const (
	maxBatch       = 20
	maxBatchAnswer = 4 * maxAnswer
)

// methods are those of the protocol that are served here: what is not among the
// capabilities that initialize tells is not there.
var methods = []string{"initialize", "ping", "tools/list", "tools/call"}

// message is what is looked at of one.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  *string         `json:"method"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
}

// Answer handles a message or a batch of them, which r carries with its body read.
func (s *Server) Answer(r *http.Request, body []byte, may May) (Answer, error) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return rejection(http.StatusBadRequest, nil, notJSON, "the message is not JSON"), nil
	}
	if body = bytes.TrimSpace(body); body[0] != '[' {
		return s.one(r, body, may)
	}
	revision := r.Header.Get("Mcp-Protocol-Version")
	if revision == "" {
		revision = unsaid
	}
	if revision >= withoutBatches {
		return rejection(http.StatusBadRequest, nil, notMessage, "revision "+revision+" of the protocol has no batches: send one message at a time"), nil
	}
	var batch []json.RawMessage
	if err := json.Unmarshal(body, &batch); err != nil || len(batch) == 0 {
		return rejection(http.StatusBadRequest, nil, notMessage, "the batch is empty"), nil //nolint:nilerr // its sender is told
	}
	if len(batch) > maxBatch {
		return rejection(http.StatusBadRequest, nil, notMessage, fmt.Sprintf("the batch has more than %d messages", maxBatch)), nil
	}
	return s.batch(r, batch, may)
}

// batch answers messages one after another, so that no more than one answer is held
// beside those that were given. When these have grown too large, what comes after is
// not done, and says so.
func (s *Server) batch(r *http.Request, batch []json.RawMessage, may May) (Answer, error) {
	out := []byte{'['}
	for _, m := range batch {
		a, err := s.oneOf(r, m, may, len(out))
		if err != nil {
			return Answer{}, err
		}
		if len(a.Body) == 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, bytes.TrimSpace(a.Body)...)
	}
	if len(out) == 1 { // of notifications
		return Answer{Status: http.StatusAccepted}, nil
	}
	return Answer{http.StatusOK, http.Header{"Content-Type": {"application/json"}}, append(out, ']')}, nil
}

// oneOf answers a message of a batch that has so many bytes of answers already.
func (s *Server) oneOf(r *http.Request, m json.RawMessage, may May, given int) (Answer, error) {
	switch {
	case method(m) == "initialize": // what comes after it depends on what is agreed
		return rejection(http.StatusBadRequest, id(m), notMessage, "initialize is no part of a batch"), nil
	case given > maxBatchAnswer:
		return rejection(http.StatusOK, id(m), ourFault, "this was not done: the answers of the batch before it are large. Send it again"), nil
	}
	return s.one(r, m, may)
}

// one answers a message.
func (s *Server) one(r *http.Request, body []byte, may May) (Answer, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil || m.Version != "2.0" || !asID(m.ID) || m.Method == nil && m.Result == nil && m.Error == nil {
		return rejection(http.StatusBadRequest, id(body), notMessage, "this is no message of JSON-RPC 2.0: it takes jsonrpc, which is \"2.0\", a method, and for an answer an id that is a text or a whole number"), nil //nolint:nilerr // its sender is told
	}
	if m.Method != nil && !slices.Contains(methods, *m.Method) && r.Header.Get("Mcp-Protocol-Version") < ownErrors {
		switch {
		case m.ID != nil:
			return rejection(http.StatusOK, m.ID, noMethod, "there is no method "+short(*m.Method)), nil
		case !strings.HasPrefix(*m.Method, "notifications/"): // which nothing is answered to
			return Answer{Status: http.StatusAccepted}, nil
		}
	}
	r2 := r.Clone(r.Context())
	r2.Header.Set(peer, r.RemoteAddr)
	delete(r2.Header, allowed)
	if m.Method != nil && *m.Method == "tools/list" {
		for _, t := range s.tools {
			switch ok, err := may(t.op); {
			case err != nil:
				return Answer{}, err
			case ok:
				r2.Header.Add(allowed, t.op.Tool)
			}
		}
	}
	r2.Body, r2.ContentLength = readCloser{bytes.NewReader(body)}, int64(len(body))
	// Both forms have to be accepted (2025-11-25, transports); that only one will
	// come is no reason to refuse a client that asks for that one.
	r2.Header.Set("Accept", "application/json, text/event-stream")
	w := &recorder{header: http.Header{}, most: enveloped * maxAnswer}
	s.http.ServeHTTP(w, r2)
	if kind := w.header.Get("Content-Type"); w.code() >= http.StatusBadRequest && !strings.HasPrefix(kind, "application/json") {
		if m.Method != nil && m.ID == nil && strings.HasPrefix(*m.Method, "notifications/") && w.code() < http.StatusInternalServerError {
			return Answer{Status: http.StatusAccepted}, nil // one that is not known
		}
		code := notMessage
		if w.code() >= http.StatusInternalServerError {
			code = ourFault
		}
		return rejection(w.code(), m.ID, code, strings.TrimSpace(w.body.String())), nil
	}
	return Answer{Status: w.code(), Header: w.header, Body: w.body.Bytes()}, nil
}

// rejection is an error of JSON-RPC. Without an id it is about null.
func rejection(status int, id json.RawMessage, code int, why string) Answer {
	if id == nil {
		id = json.RawMessage("null")
	}
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": map[string]any{"code": code, "message": why}})
	if err != nil { // of texts and of an id that has been read
		text = []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"the refusal cannot be written"}}`)
	}
	return Answer{status, http.Header{"Content-Type": {"application/json"}}, text}
}

// asID reports whether v is nothing, a text or a whole number.
func asID(v json.RawMessage) bool {
	var n int64
	return v == nil || v[0] == '"' || json.Unmarshal(v, &n) == nil && string(v) != "null"
}

// id is that of a message that may be none; nil when there is none to be used.
func id(body []byte) json.RawMessage {
	var m struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(body, &m) != nil || !asID(m.ID) {
		return nil
	}
	return m.ID
}

func method(body []byte) string {
	var m struct {
		Method string `json:"method"`
	}
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	return m.Method
}

// short cuts what a caller sent to what an answer may repeat.
func short(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
