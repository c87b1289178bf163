package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// dialect is how a kind of service is spoken to.
type dialect interface {
	request(ctx context.Context, c Config, texts []string, question bool) (*http.Request, error)
	// vectors reads n of them from an answer, in the order of the texts.
	vectors(body []byte, n int) ([][]float32, error)
}

var errCount = errors.New("it has not one vector for each text")

func post(ctx context.Context, address string, body any) (*http.Request, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(b))
}

type openAI struct{}

func (openAI) request(ctx context.Context, c Config, texts []string, _ bool) (*http.Request, error) {
	req, err := post(ctx, c.base()+"/embeddings", map[string]any{"model": c.Model, "input": texts, "encoding_format": "float"})
	if err == nil && c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	return req, err
}

func (openAI) vectors(body []byte, n int) ([][]float32, error) {
	var a struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if len(a.Data) != n {
		return nil, fmt.Errorf("%w: %d for %d", errCount, len(a.Data), n)
	}
	out := make([][]float32, n)
	for _, d := range a.Data {
		if d.Index < 0 || d.Index >= n || out[d.Index] != nil || d.Embedding == nil {
			return nil, errCount
		}
		out[d.Index] = d.Embedding
	}
	return out, nil
}

type gemini struct{}

func (gemini) request(ctx context.Context, c Config, texts []string, question bool) (*http.Request, error) {
	type part struct {
		Text string `json:"text"`
	}
	type content struct {
		Parts []part `json:"parts"`
	}
	type request struct {
		Model      string  `json:"model"`
		Content    content `json:"content"`
		Task       string  `json:"taskType"`
		Dimensions int     `json:"outputDimensionality"`
	}
	task := "RETRIEVAL_DOCUMENT"
	if question {
		task = "RETRIEVAL_QUERY"
	}
	model := strings.TrimPrefix(c.Model, "models/")
	all := make([]request, len(texts))
	for i, t := range texts {
		all[i] = request{"models/" + model, content{[]part{{t}}}, task, c.Dimensions}
	}
	req, err := post(ctx, c.base()+"/models/"+url.PathEscape(model)+":batchEmbedContents", map[string]any{"requests": all})
	if err == nil && c.Key != "" {
		req.Header.Set("X-Goog-Api-Key", c.Key)
	}
	return req, err
}

func (gemini) vectors(body []byte, n int) ([][]float32, error) {
	var a struct {
		Embeddings []struct {
			Values []float32 `json:"values"`
		} `json:"embeddings"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if len(a.Embeddings) != n {
		return nil, fmt.Errorf("%w: %d for %d", errCount, len(a.Embeddings), n)
	}
	out := make([][]float32, n)
	for i, e := range a.Embeddings {
		out[i] = e.Values
	}
	return out, nil
}
