package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
)

// The kinds of services.
const (
	OpenAI = "openai"
	Gemini = "gemini"
)

// Config says which service, and which of its models.
type Config struct {
	Kind       string
	URL        string // before /embeddings or /models; "" is the public one of the kind
	Model      string
	Key        string // "" sends none
	KeyFile    string // a file with the key, read when the model is loaded
	Dimensions int    // that its vectors have to have
}

// The bounds of calls.
const (
	perCall  = 64       // texts
	atOnce   = 4        // calls
	tries    = 4        // of a call for passages
	askTries = 2        // of one for a question, whose caller waits
	most     = 64 << 20 // bytes of an answer
)

// ErrAway says that the service cannot be asked now.
var ErrAway = errs.New(errs.Unavailable, "the embedding service does not answer")

// Service is an encoder.Model. Safe for concurrent use.
type Service struct {
	c      Config
	speak  dialect
	client *http.Client
	places chan struct{}
	b      breaker
	now    func() time.Time
	sleep  func(ctx context.Context, d time.Duration) error
}

// Validate returns what is wrong with c.
func (c Config) Validate() error {
	if c.Kind != OpenAI && c.Kind != Gemini {
		return fmt.Errorf("kind: %s or %s", OpenAI, Gemini)
	}
	u, err := url.Parse(c.base())
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("url: an address that begins with https:// or http://")
	case u.User != nil:
		return errors.New("url: no user in it; the key has a setting of its own")
	case u.Scheme == "http" && (c.Key != "" || c.KeyFile != "") && !local(u.Hostname()):
		return errors.New("url: a key is sent over https alone, or to this machine")
	case c.Model == "" || strings.ContainsFunc(c.Model, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("?#%", r) }):
		return errors.New("model: a name of the service's")
	case c.Key != "" && c.KeyFile != "":
		return errors.New("key: it or key_file")
	case c.Dimensions < 8 || c.Dimensions > 8192:
		return errors.New("dimensions: from 8 to 8192")
	}
	return nil
}

func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (c Config) base() string {
	switch {
	case c.URL != "":
		return strings.TrimSuffix(c.URL, "/")
	case c.Kind == Gemini:
		return "https://generativelanguage.googleapis.com/v1beta"
	}
	return "https://api.openai.com/v1"
}

// Vectors is the name of what a service with this configuration makes.
func (c Config) Vectors() string { return fmt.Sprintf("%s:%s@%d", c.Kind, c.Model, c.Dimensions) }

// Open returns the service, after it has embedded a text as it should.
func Open(ctx context.Context, c Config) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.KeyFile != "" {
		b, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, err
		}
		c.Key = strings.TrimSpace(string(b))
	}
	s := &Service{c: c, client: client(), places: make(chan struct{}, atOnce), now: time.Now, sleep: sleep}
	s.speak = openAI{}
	if c.Kind == Gemini {
		s.speak = gemini{}
	}
	if _, err := s.EmbedQuery(ctx, "Is anybody there?"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// client follows nobody elsewhere, and does not ask addresses that no embedding
// service has, such as that at which a cloud tells a machine its secrets.
func client() *http.Client {
	d := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return err
		}
		if a = a.Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
			return fmt.Errorf("%s is no address of a service", a)
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
}

// Name is that of the vectors.
func (s *Service) Name() string { return s.c.Vectors() }

// Dim is the length of a vector.
func (s *Service) Dim() int { return s.c.Dimensions }

// Count is an estimate: how the service counts it does not tell.
func (s *Service) Count(text string) int { return chunk.Estimate{}.Count(text) }

// Close ends idle connections.
func (s *Service) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// EmbedQuery gives the vector of a question.
func (s *Service) EmbedQuery(ctx context.Context, text string) ([]float32, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	v, err := s.call(ctx, []string{text}, true, askTries)
	if err != nil {
		return nil, err
	}
	return v[0], nil
}

// EmbedBatch gives the vectors of texts, in their order. progress, if not nil,
// hears how many are done.
func (s *Service) EmbedBatch(ctx context.Context, texts []string, progress func(done int)) ([][]float32, error) {
	out := make([][]float32, 0, len(texts))
	for len(out) < len(texts) {
		part := texts[len(out):min(len(out)+perCall, len(texts))]
		v, err := s.call(ctx, part, false, tries)
		if err != nil {
			return nil, err
		}
		if out = append(out, v...); progress != nil {
			progress(len(out))
		}
	}
	return out, nil
}

// call asks until it is answered, or it makes no sense to go on.
func (s *Service) call(ctx context.Context, texts []string, question bool, tries int) ([][]float32, error) {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for try := 1; ; try++ {
		ok, probe := s.b.admit(s.now())
		if !ok {
			return nil, ErrAway
		}
		v, wait, err := s.once(ctx, texts, question)
		s.b.end(s.now(), probe, err != nil, err != nil && ctx.Err() != nil)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case wait < 0: // it would be the same
			return nil, err
		case try == tries:
			return nil, fmt.Errorf("%w: %w", ErrAway, err)
		}
		if wait == 0 {
			wait = time.Duration(float64(500*time.Millisecond<<(try-1)) * (0.5 + rand.Float64())) //nolint:gosec // G404: chance for spread
		}
		if err := s.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once makes one call. wait is how long to wait before the next one, if the
// service says so, or below 0 when there should be none.
func (s *Service) once(ctx context.Context, texts []string, question bool) (out [][]float32, wait time.Duration, err error) {
	req, err := s.speak.request(ctx, s.c, texts, question)
	if err != nil {
		return nil, -1, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "commandcenter")
	res, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // whose text has the address
			err = u.Err
		}
		return nil, 0, fmt.Errorf("ask the embedding service: %w", err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("read the answer of the embedding service: %w", err)
	case len(body) > most:
		return nil, -1, errors.New("the embedding service answers more than it should")
	case res.StatusCode != http.StatusOK:
		wait = -1
		if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout || res.StatusCode >= 500 {
			wait = pause(res.Header.Get("Retry-After"))
		}
		return nil, wait, fmt.Errorf("the embedding service answers %d: %s", res.StatusCode, s.quote(body))
	}
	v, err := s.speak.vectors(body, len(texts))
	if err != nil {
		return nil, -1, fmt.Errorf("the answer of the embedding service: %w", err)
	}
	for i := range v {
		if err := s.unit(v[i]); err != nil {
			return nil, -1, err
		}
	}
	return v, 0, nil
}

// pause is what a service asks for, within reason; 0 when it does not.
func pause(header string) time.Duration {
	n, err := strconv.Atoi(header)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Minute)
}

// quote is the beginning of an answer for the log, without the key, which some
// services repeat.
func (s *Service) quote(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), 300)]), "")
	if s.c.Key != "" {
		text = strings.ReplaceAll(text, s.c.Key, "(key)")
	}
	return strings.Join(strings.Fields(text), " ")
}

// unit checks a vector and brings it to length 1.
func (s *Service) unit(v []float32) error {
	if len(v) != s.c.Dimensions {
		return fmt.Errorf("the embedding service gives vectors of %d numbers, and %d are set", len(v), s.c.Dimensions)
	}
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if !(square > 0) || math.IsInf(square, 1) {
		return errors.New("the embedding service gives a vector without direction")
	}
	inv := float32(1 / math.Sqrt(square))
	for i := range v {
		v[i] *= inv
	}
	return nil
}
