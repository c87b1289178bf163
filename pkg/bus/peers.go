package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Peers is how the replicas of one service talk among themselves: nothing is
// kept, nothing is sent late, and what is lost is lost. The service needs
// [Contract.Peers], or for the topic "jobs" [Contract.Jobs]. Make one with
// [Bus.Peers].
type Peers struct {
	b       *Bus
	subject string // and below it one for each replica
}

// Peers returns the replicas' talk about one topic.
func (b *Bus) Peers(topic string) *Peers {
	return &Peers{b: b, subject: "peer." + b.service + "." + topic}
}

// Tell says data to every replica that listens, this one too. It returns when
// the connection has taken it, and fails while there is none.
func (p *Peers) Tell(data []byte) error {
	if err := p.b.nc.Publish(p.subject, data); err != nil {
		return fmt.Errorf("tell the other replicas: %w", err)
	}
	return nil
}

// Ask puts a question to the replica that listens as id, and waits for its
// answer until ctx ends. [errs.Unavailable] means that nobody does.
func (p *Peers) Ask(ctx context.Context, id string, data []byte) ([]byte, error) {
	m, err := p.b.nc.RequestWithContext(ctx, p.subject+"."+id, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, errs.Wrap(errs.Unavailable, err, "that replica is away")
	case err != nil:
		return nil, fmt.Errorf("ask another replica: %w", err)
	}
	return m.Data, nil
}

// Listen has told called with what replicas say, and asked with what this one,
// id, is asked; both may run at once, told with one message after another. stop
// ends both, and waits for neither. Without asked, this replica answers nothing.
func (p *Peers) Listen(id string, told func(data []byte), asked func(data []byte) []byte) (stop func(), err error) {
	if !validToken(id) {
		return nil, fmt.Errorf("listen to other replicas: %q is not a name", id)
	}
	hear, err := p.b.nc.Subscribe(p.subject, func(m *nats.Msg) { told(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("listen to other replicas: %w", err)
	}
	var answer *nats.Subscription
	if asked != nil {
		answer, err = p.b.nc.Subscribe(p.subject+"."+id, func(m *nats.Msg) {
			if err := m.Respond(asked(m.Data)); err != nil {
				p.b.log.Debug("peers.answer", "subject", m.Subject, "err", err)
			}
		})
	}
	if err == nil {
		err = p.b.nc.Flush() // once the server knows, nothing is missed
	}
	end := sync.OnceFunc(func() {
		for _, s := range []*nats.Subscription{hear, answer} {
			if s != nil {
				_ = s.Unsubscribe() // fails when the connection has ended, and with it the subscription
			}
		}
	})
	if err != nil {
		end()
		return nil, fmt.Errorf("listen to other replicas: %w", err)
	}
	return end, nil
}
