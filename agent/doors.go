package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/doors"
)

// What a helper may cost the agent.
const (
	askWithin      = 5 * time.Second // for the whole of a request, which is small
	maxAsk         = 64 << 10        // bytes of its body
	maxAskHeader   = 16 << 10        // bytes of its header
	maxConnections = 512             // at once; who comes then waits in the socket's queue
)

// lendWithin bounds the answer to each door, by how long those wait who ask there.
var lendWithin = map[doors.Door]time.Duration{
	doors.Docker:  doors.DockerWithin, // its client may wait for ever, and people with it
	doors.Kubelet: doors.KubeletWithin,
}

// A refusal is a status and what goes with it.
type refusal struct {
	status int
	doors.Refusal
}

// serveSocket answers the helpers of this machine until ctx ends.
func (a *Agent) serveSocket(ctx context.Context) error {
	if a.Socket == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	a.Log.Info("helpers of this machine may ask for credentials", "socket", a.Socket.Path(), "who", a.Socket.WhoMayAsk())
	server := &http.Server{Handler: a.socketHandler(), ReadHeaderTimeout: a.askWithin, ReadTimeout: a.askWithin, IdleTimeout: a.askWithin, MaxHeaderBytes: maxAskHeader,
		WriteTimeout: lendWithin[doors.Kubelet] + 2*askWithin, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug)}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close(); _ = a.Socket.Close() })
	defer stopped()
	if err := server.Serve(&limited{Listener: a.Socket, slots: make(chan struct{}, maxConnections)}); ctx.Err() == nil {
		return fmt.Errorf("the agent's socket: %w", err)
	}
	return ctx.Err()
}

func (a *Agent) socketHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+doors.PathCredential, answering(a.credential))
	mux.HandleFunc("POST "+doors.PathExplain, answering(a.explainAtDoor))
	mux.HandleFunc("GET "+doors.PathHosts, answering(a.hosts))
	mux.HandleFunc("GET "+doors.PathStatus, answering(a.status))
	mux.HandleFunc("GET "+doors.PathRegistries, answering(a.registries))
	return mux
}

// answering decodes, calls, and writes what comes back. Only the four doors' own refusals are JSON: a helper takes nothing
// else for the agent's word.
func answering[T any](do func(context.Context, doors.Ask) (T, *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ask doors.Ask
		if r.Method == http.MethodPost {
			text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsk))
			if err == nil {
				err = json.Unmarshal(text, &ask)
			}
			if err != nil {
				write(w, http.StatusBadRequest, doors.Refusal{Reason: "the agent does not understand what it was asked", Hint: "use a helper of the agent's own version"})
				return
			}
		}
		answer, refused := do(r.Context(), ask)
		if refused != nil {
			write(w, refused.status, refused.Refusal)
			return
		}
		write(w, http.StatusOK, answer)
	}
}

func write(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil { // never: these are plain structures
		status, text = http.StatusInternalServerError, []byte(`{"reason":"the agent made a mistake"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // the only form that helpers read
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// refused makes of an error what is said at a door. missing are the kinds that mean there: no credential, try without.
func refused(err error, missing ...error) *refusal {
	r := &refusal{http.StatusBadGateway, doors.Refusal{Reason: err.Error(), Hint: pierhead.HintOf(err)}}
	for _, kind := range missing {
		if errors.Is(err, kind) && !errors.Is(err, pierhead.ErrPull) {
			r.status = http.StatusNotFound
			return r
		}
	}
	switch {
	case errors.Is(err, pierhead.ErrBadInput):
		r.status = http.StatusBadRequest
	case errors.Is(err, pierhead.ErrUnreachable):
		r.status = http.StatusServiceUnavailable
	}
	return r
}

// credential answers a helper. Every question that ended badly is among the node's troubles.
func (a *Agent) credential(ctx context.Context, ask doors.Ask) (doors.Loan, *refusal) {
	within, known := lendWithin[ask.Door]
	if !known {
		return doors.Loan{}, refused(pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("no credential is lent by the door %.20q", ask.Door), ""))
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if ask.Door == doors.Docker {
		return a.lendDocker(ctx, ask)
	}
	return a.lendKubelet(ctx, ask)
}

// doorCaller is who a runtime's questions come from.
func (a *Agent) doorCaller() pierhead.Caller { return pierhead.Caller{Name: "node:" + a.Name} }

// explainAtDoor explains what the door of the question would get.
func (a *Agent) explainAtDoor(ctx context.Context, ask doors.Ask) (api.Explanation, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	organization, _, err := a.Snapshot.home(ctx, a.Organization)
	if err != nil {
		return api.Explanation{}, refused(err)
	}
	return *a.explanation(ctx, api.Question{Image: ask.Image, Organization: organization.Name, OrganizationID: organization.ID, Action: "pull", Door: string(ask.Door)}), nil
}

// limited is a listener that lets so many in at once.
type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, slots: l.slots}, nil
}

// slotted is a connection that gives its place back.
type slotted struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (s *slotted) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() { <-s.slots })
	return err
}
