package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// ListenConfig says where and how patiently to listen.
type ListenConfig struct {
	Addr       string
	TLS        *tls.Config // nil: plain HTTP
	MaxConns   int         // open connections
	MaxHeader  int         // bytes of request line and headers
	ReadHeader time.Duration
	Read       time.Duration // whole request; uploads have their own
	Write      time.Duration // whole answer; uploads and streams have their own
	Idle       time.Duration // between two calls of a connection
}

// Listener serves an [Edge]. It is a part: Start binds the address, Stop lets
// the calls in hand finish.
type Listener struct {
	edge   *Edge
	c      ListenConfig
	log    *slog.Logger
	server *http.Server
	failed chan error
	told   func(addr string)
}

// NewListener returns a listener that does not listen yet. listening, which may
// be nil, is told the address when it does.
func NewListener(e *Edge, c ListenConfig, log *slog.Logger, listening func(addr string)) *Listener {
	if listening == nil {
		listening = func(string) {}
	}
	return &Listener{edge: e, c: c, log: log, failed: make(chan error, 1), told: listening}
}

// Name is "gateway.http".
func (l *Listener) Name() string { return "gateway.http" }

// Start returns when calls are answered. A taken port is said in so many words.
func (l *Listener) Start(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.c.Addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the address %s is in use: stop the program that has it, or choose another with --http", l.c.Addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("the address %s is not allowed: ports below 1024 take a privilege; choose another with --http", l.c.Addr)
	case err != nil:
		return fmt.Errorf("listen on %s: %w", l.c.Addr, err)
	}
	addr := ln.Addr().String()
	if l.c.MaxConns > 0 {
		ln = netutil.LimitListener(ln, l.c.MaxConns)
	}
	if l.c.TLS != nil {
		ln = tls.NewListener(ln, l.c.TLS)
	}
	l.server = &http.Server{
		Handler:           l.edge,
		ReadHeaderTimeout: l.c.ReadHeader, ReadTimeout: l.c.Read, WriteTimeout: l.c.Write, IdleTimeout: l.c.Idle,
		MaxHeaderBytes: l.c.MaxHeader,
		ErrorLog:       slog.NewLogLogger(l.log.Handler(), slog.LevelDebug), // broken handshakes and the like: callers' doing
		BaseContext:    func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	go func() {
		if err := l.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.failed <- fmt.Errorf("serve HTTP: %w", err)
		}
	}()
	l.told(addr)
	return nil
}

// Failed reports a listener that broke.
func (l *Listener) Failed() <-chan error { return l.failed }

// Stop takes no more calls and waits for those in hand until ctx ends; what is
// still running then is cut off.
func (l *Listener) Stop(ctx context.Context) error {
	l.edge.Drain()
	err := l.server.Shutdown(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("stop HTTP: calls were cut off: %w", err), l.server.Close())
}
