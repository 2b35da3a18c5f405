package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/tokens"
)

// Limits of connections.
const (
	headerTimeout = 15 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes: a registry token with many repositories is long
	shutdownGrace = 10 * time.Second
)

// Serve answers on a listener until ctx ends: then long polls and log streams end at once, other requests get ten
// seconds, and it returns nil. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return serve(ctx, listener, s, s.config.Log, s.Drain)
}

// ServeHandler is Serve for another handler, such as a registry that runs alone, with the same limits.
func ServeHandler(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return serve(ctx, listener, handler, log, func() {})
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, drain func()) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes of strangers, mostly
	}
	silent := new(silentConns)
	server.ConnState = silent.note
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("server on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	drain()
	silent.close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.Warn("requests were cut off by the shutdown", "error", err)
		return server.Close()
	}
	return nil
}

// silentConns are the connections on which nothing was asked yet: spare ones of clients' pools. http.Server.Shutdown
// would wait five seconds for each.
type silentConns struct{ conns sync.Map }

func (s *silentConns) note(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.conns.Store(c, nil)
	} else {
		s.conns.Delete(c)
	}
}

func (s *silentConns) close() {
	s.conns.Range(func(c, _ any) bool {
		_ = c.(net.Conn).Close()
		return true
	})
}

// OpenTokenKey reads the key that signs registry tokens from a file, or makes it there, mode 0600.
func OpenTokenKey(path string) (*tokens.Key, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		key, err := tokens.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("token key %s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("token key: %w", err)
	}
	key, err := tokens.Generate()
	if err != nil {
		return nil, err
	}
	if text, err = key.PEM(); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(durable.OS{}, path, text); err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return key, nil
}
