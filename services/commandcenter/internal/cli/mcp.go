package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

const (
	mcpMessage  = 4 << 20 // largest message of a client, in bytes; as the server takes it
	mcpAtOnce   = 8       // messages that are answered at the same time
	mcpRevision = "Mcp-Protocol-Version"
)

func (e *env) mcpCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "mcp",
		Short: "Serve the tools of the product to a language model, over standard input and output",
		Long: `Speaks the Model Context Protocol over standard input and output, for programs that start their servers themselves. Every message goes
to the server's /api/v1/mcp as you: with the login of this machine, or with an API key in CC_TOKEN, whose scopes bound what the model may do.
Programs that speak streamable HTTP need no command: give them the address and the key.`,
		Example: `  commandcenter mcp
  CC_TOKEN=cc_... CC_PROJECT=2 commandcenter mcp
  claude mcp add commandcenter -- commandcenter mcp`,
		Args: nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			if err := s.Authenticate(cmd.Context()); err != nil {
				return err
			}
			b := &bridge{session: s, out: e.Out, running: map[string]context.CancelFunc{}}
			return b.run(cmd.Context(), e.In)
		},
	}
	e.bind(c, false, "client.server", "client.ca_file", "client.project")
	return ends(c, codesClient...)
}

// bridge hands messages of the Model Context Protocol, a line each, to the server
// and its answers back.
type bridge struct {
	session *client.Session

	mu      sync.Mutex
	out     io.Writer
	failed  error                         // to write an answer
	running map[string]context.CancelFunc // by id, of requests that are not answered
	version string                        // of the protocol, as agreed
}

// envelope is what the bridge looks at of a message.
type envelope struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		RequestID json.RawMessage `json:"requestId"`
	} `json:"params"`
	Result struct {
		ProtocolVersion string `json:"protocolVersion"`
	} `json:"result"`
}

// run goes on until the client closes its end, and answers what it asked until
// then.
func (b *bridge) run(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, mcpMessage)
	seats := make(chan struct{}, mcpAtOnce)
	var all sync.WaitGroup
	defer all.Wait()
	for lines.Scan() {
		line := bytes.Clone(bytes.TrimSpace(lines.Bytes()))
		if len(line) == 0 {
			continue
		}
		if !json.Valid(line) {
			b.refuse(nil, -32700, "the message is not JSON")
			continue
		}
		var m envelope
		if err := json.Unmarshal(line, &m); err != nil && m.ID == nil {
			m.ID = json.RawMessage("null") // a batch, or no message: the server says what it thinks of it
		}
		if m.Method == "notifications/cancelled" {
			b.cancel(m.Params.RequestID)
			continue
		}
		ask, cancel := context.WithCancel(ctx)
		b.track(m.ID, cancel)
		handle := func() {
			defer cancel()
			defer b.track(m.ID, nil)
			b.forward(ask, m, line)
		}
		if m.Method == "initialize" { // what follows depends on what is agreed
			handle()
			continue
		}
		seats <- struct{}{}
		all.Go(func() {
			defer func() { <-seats }()
			handle()
		})
	}
	all.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		return fmt.Errorf("write an answer: %w", b.failed)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a message is larger than %d MiB", mcpMessage>>20)
	}
	return lines.Err()
}

func (b *bridge) track(id json.RawMessage, cancel context.CancelFunc) {
	if len(id) == 0 || string(id) == "null" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if cancel == nil {
		delete(b.running, string(id))
		return
	}
	b.running[string(id)] = cancel
}

func (b *bridge) cancel(id json.RawMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cancel := b.running[string(id)]; cancel != nil {
		cancel()
	}
}

// forward asks the server, and writes its answer. A client that has cancelled
// wants none.
func (b *bridge) forward(ctx context.Context, m envelope, line []byte) {
	resp, err := b.session.CallToolWithBody(ctx, "application/json", bytes.NewReader(line), b.headers)
	if err == nil && resp.StatusCode == http.StatusBadRequest && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		resp.StatusCode = http.StatusOK // an error of the protocol, which is the client's to read
	}
	body, err := client.Into[json.RawMessage](resp, err)
	if err == nil {
		if m.Method == "initialize" {
			b.agree(body)
		}
		b.write(body)
		return
	}
	if len(m.ID) > 0 && ctx.Err() == nil {
		b.refuse(m.ID, -32000, err.Error())
	}
}

func (b *bridge) headers(_ context.Context, r *http.Request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version != "" {
		r.Header.Set(mcpRevision, b.version)
	}
	return nil
}

func (b *bridge) agree(answer []byte) {
	var m envelope
	if json.Unmarshal(answer, &m) == nil {
		b.mu.Lock()
		b.version = m.Result.ProtocolVersion
		b.mu.Unlock()
	}
}

func (b *bridge) refuse(id json.RawMessage, code int, why string) {
	if id == nil {
		id = json.RawMessage("null")
	}
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": map[string]any{"code": code, "message": why}})
	if err == nil {
		b.write(text)
	}
}

// write writes a message in a line of its own.
func (b *bridge) write(text []byte) {
	var line bytes.Buffer
	if len(bytes.TrimSpace(text)) == 0 || json.Compact(&line, text) != nil {
		return
	}
	line.WriteByte('\n')
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.out.Write(line.Bytes()); err != nil && b.failed == nil {
		b.failed = err
	}
}
