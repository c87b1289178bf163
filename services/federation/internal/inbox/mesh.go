package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/mesh"
)

// The subjects of searches in account HUB. Everybody on a hub may hear what is
// said there; so both are sealed for the one that they are for.
const (
	askPrefix    = "hub.ask."    // and the slug that is asked
	answerPrefix = "hub.answer." // and the slug that asked, and a token
)

// MeshGrants are what the service's user of account HUB may say and hear for
// searches, as the instance slug; "*" for any.
func MeshGrants(slug string) (pub, sub []string) {
	return []string{askPrefix + "*", answerPrefix + "*.>"}, []string{askPrefix + slug, answerPrefix + slug + ".>"}
}

// Border are the subjects that searches need across the border of a hub.
func Border() []string { return []string{askPrefix + "*", answerPrefix + ">"} }

// MeshConfig is what a [Mesh] needs.
type MeshConfig struct {
	Slug       string
	Keys       *Keys
	Conn       *nats.Conn // in account HUB
	Answerer   *mesh.Answerer
	Registerer prometheus.Registerer // may be nil
	Log        *slog.Logger
	Now        func() time.Time
}

// Mesh carries questions and answers between instances. It is a part of an
// application.
type Mesh struct {
	MeshConfig
	outcomes *prometheus.CounterVec
	turns    chan struct{}
	subs     []*nats.Subscription
	ctx      context.Context //nolint:containedctx // of the part: what is answered ends with it
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]chan *nats.Msg
}

// answersAtOnce is how many questions of others are worked on side by side;
// what is more is answered that we are busy.
const answersAtOnce = 8

// NewMesh returns one.
func NewMesh(c MeshConfig) (*Mesh, error) {
	m := &Mesh{
		MeshConfig: c, turns: make(chan struct{}, answersAtOnce), waiting: map[string]chan *nats.Msg{},
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "federation_searches_total",
			Help: "Questions to and from other instances, by what became of them.",
		}, []string{"side", "outcome"}),
	}
	if c.Registerer == nil {
		return m, nil
	}
	return m, c.Registerer.Register(m.outcomes)
}

// Name is "mesh".
func (m *Mesh) Name() string { return "mesh" }

// Start begins to hear questions and answers.
func (m *Mesh) Start(ctx context.Context) error {
	m.ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	// One replica takes a question; an answer goes to all of them, since they
	// share a name, and one of them waits for it.
	asked, err := m.Conn.QueueSubscribe(askPrefix+m.Slug, "federation", m.hear)
	if err != nil {
		return fmt.Errorf("hear questions: %w", err)
	}
	answered, err := m.Conn.Subscribe(answerPrefix+m.Slug+".*", m.deliver)
	if err != nil {
		return errors.Join(fmt.Errorf("hear answers: %w", err), asked.Unsubscribe())
	}
	m.subs = []*nats.Subscription{asked, answered}
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return m.Conn.FlushWithContext(within)
}

// Stop takes no more questions and waits for what is being answered.
func (m *Mesh) Stop(ctx context.Context) error {
	var errs []error
	for _, s := range m.subs {
		if err := s.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			errs = append(errs, err)
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); m.work.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, context.Cause(ctx))
	}
	m.stop()
	return errors.Join(errs...)
}

// reply is the inner part of an answer.
type reply struct {
	Hits   []mesh.Hit `json:"hits"`
	Reason string     `json:"reason,omitempty"` // a word of reasons
}

// reasons are the words for what is not a list of hits.
var reasons = map[string]error{"shares-nothing": mesh.ErrShares, "refused": mesh.ErrRefused, "busy": mesh.ErrBusy, "failed": mesh.ErrSearch}

func wordOf(err error) string {
	for word, reason := range reasons {
		if errors.Is(err, reason) {
			return word
		}
	}
	return "failed"
}

// Ask puts a question to an instance and waits for its answer as long as ctx
// lasts.
func (m *Mesh) Ask(ctx context.Context, to instance.Instance, q mesh.Query) ([]mesh.Hit, error) {
	hits, err := m.ask(ctx, to, q)
	outcome := "answered"
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		outcome = "late"
	case errors.Is(err, mesh.ErrAway):
		outcome = "away"
	case errors.Is(err, mesh.ErrForged):
		outcome = "forged"
	case err != nil:
		outcome = wordOf(err)
	}
	m.outcomes.WithLabelValues("asked", outcome).Inc()
	return hits, err
}

func (m *Mesh) ask(ctx context.Context, to instance.Instance, q mesh.Query) ([]mesh.Hit, error) {
	id := nuid.Next()
	data, err := m.Keys.seal(letter{From: m.Slug, To: to.Slug, ID: id, At: m.Now()}, to.SealKey, q)
	if err != nil {
		return nil, err
	}
	got := make(chan *nats.Msg, 1)
	m.mu.Lock()
	m.waiting[id] = got
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.waiting, id)
		m.mu.Unlock()
	}()
	if err := m.Conn.PublishRequest(askPrefix+to.Slug, answerPrefix+m.Slug+"."+id, data); err != nil {
		return nil, fmt.Errorf("%w: %w", mesh.ErrAway, err)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case msg := <-got:
		if msg.Header.Get("Status") == "503" {
			return nil, mesh.ErrAway
		}
		var r reply
		l, err := m.Keys.open(msg.Data, &r)
		if err != nil || l.From != to.Slug || l.To != m.Slug || l.ID != id || l.Key != to.Key {
			return nil, mesh.ErrForged
		}
		if r.Reason == "" {
			return r.Hits, nil
		}
		if why := reasons[r.Reason]; why != nil {
			return nil, why
		}
		return nil, mesh.ErrSearch // a word of another version
	}
}

// deliver hands an answer to whoever waits for it.
func (m *Mesh) deliver(msg *nats.Msg) {
	m.mu.Lock()
	got := m.waiting[msg.Subject[len(answerPrefix)+len(m.Slug)+1:]]
	m.mu.Unlock()
	if got == nil { // too late, or of another replica
		return
	}
	select {
	case got <- msg:
	default:
	}
}

// hear takes a question, or says that there are too many.
func (m *Mesh) hear(msg *nats.Msg) {
	if len(msg.Data) > maxLetter {
		m.outcomes.WithLabelValues("asked-us", "unreadable").Inc()
		return
	}
	select {
	case m.turns <- struct{}{}:
		m.work.Go(func() {
			defer func() { <-m.turns }()
			m.answer(m.ctx, msg)
		})
	default: // nobody knows who asks before a signature is verified: no word
		m.outcomes.WithLabelValues("asked-us", "busy").Inc()
	}
}

// answer answers a question. One that is not signed by the key that the asker
// is known by gets no answer but that, and what is in it is not looked at.
func (m *Mesh) answer(ctx context.Context, msg *nats.Msg) {
	l, err := peek(msg.Data)
	if err != nil || l.To != m.Slug || msg.Reply != answerPrefix+l.From+"."+l.ID {
		m.outcomes.WithLabelValues("asked-us", "unreadable").Inc()
		return
	}
	var r reply
	who, err := m.Answerer.Admit(ctx, l.From, l.Key, l.ID, l.At)
	if err == nil {
		var q mesh.Query
		if _, err = m.Keys.open(msg.Data, &q); err != nil {
			err = mesh.ErrRefused
		} else {
			r.Hits, err = m.Answerer.Answer(ctx, who.Slug, q)
		}
	}
	outcome := "answered"
	if err != nil {
		r.Reason, outcome = wordOf(err), wordOf(err)
		if outcome == "failed" || outcome == "refused" {
			m.Log.WarnContext(ctx, "federation.search", "from", l.From, "outcome", outcome, "err", err)
		}
	}
	m.outcomes.WithLabelValues("asked-us", outcome).Inc()
	data, err := m.Keys.seal(letter{From: m.Slug, To: l.From, ID: l.ID, At: m.Now()}, l.SealKey, r)
	if err == nil && len(data) > maxLetter {
		data, err = m.Keys.seal(letter{From: m.Slug, To: l.From, ID: l.ID, At: m.Now()}, l.SealKey, reply{Hits: fitting(r.Hits)})
	}
	if err == nil {
		err = m.Conn.Publish(msg.Reply, data)
	}
	if err != nil {
		m.Log.WarnContext(ctx, "federation.search", "from", l.From, "err", err)
	}
}

// fitting are the first of the hits, so many as fit into a letter.
func fitting(hits []mesh.Hit) []mesh.Hit {
	size := 0
	for n, h := range hits {
		if data, err := json.Marshal(h); err != nil || size+len(data) > maxLetter/2 {
			return hits[:n]
		} else {
			size += len(data)
		}
	}
	return hits
}
