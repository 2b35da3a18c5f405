package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/doors"
)

// localWithin bounds a question to the agent of this machine, and maxLocal its answer, in bytes.
const (
	localWithin = 10 * time.Second
	maxLocal    = 4 << 20
)

func (p *program) nodeStatusCommand() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "How the agent of this machine is, and what runtimes did not tell", Args: arguments(),
		Long: `Ask the agent of this machine, at its socket (PIER_SOCKET), how it is: also while the server is away.
dockerd, containerd and the kubelet hide why a credential was not to be had; here are the questions
of the last day that ended badly, newest first, with the reason and what to do.`,
		Example: "  sudo pier node status",
		RunE: func(c *cobra.Command, _ []string) error {
			var s doors.Status
			if err := p.askAgent(c.Context(), http.MethodGet, doors.PathStatus, nil, &s); err != nil {
				return err
			}
			return p.print(s, func() string { return statusText(s) })
		}}
}

func statusText(s doors.Status) string {
	age := "none yet"
	if s.SnapshotAge >= 0 {
		age = (time.Duration(s.SnapshotAge) * time.Second).String() + " ago"
	}
	heard := when(s.LastContactAt)
	if heard == "" {
		heard = "never since the agent started"
	}
	text := fields("Node", s.Node, "Version", s.Version, "Serves", s.Organization, "Server", s.Server, "Last heard of it", heard,
		"Registries confirmed", age, "Mirror", s.Mirror, "Events to deliver", strconv.Itoa(s.Waiting))
	if len(s.Troubles) == 0 {
		return text + "\nNo question of a runtime ended badly in the last day.\n"
	}
	text += "\nWhat ended badly in the last day, newest first:\n"
	for _, t := range s.Troubles {
		who := doorWords(t.Door)
		if t.Asked != "" {
			who += " for " + t.Asked
		}
		text += fmt.Sprintf("\n%s  %s\n  %s\n", when(t.At), who, t.Reason)
		if t.Hint != "" {
			text += "  Hint: " + t.Hint + "\n"
		}
	}
	return text
}

// doorWords says who comes by a door, or "".
func doorWords(d doors.Door) string {
	switch d {
	case doors.Docker:
		return "Docker's helper"
	case doors.Kubelet:
		return "the kubelet's plugin"
	case doors.Mirror:
		return "the mirror"
	}
	return string(d)
}

// askAgent asks the agent of this machine. Errors: pierhead.ErrUnreachable when there is none to be asked, or with the
// agent's own reason; pierhead.ErrNotAllowed when this user may not.
func (p *program) askAgent(ctx context.Context, method, path string, ask, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, localWithin)
	defer cancel()
	var body []byte
	if ask != nil {
		var err error
		if body, err = json.Marshal(ask); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: p.dialAgent, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return p.agentAway(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxLocal))
	if err != nil {
		return p.agentAway(err)
	}
	if response.StatusCode != http.StatusOK {
		var refusal doors.Refusal
		if json.Unmarshal(text, &refusal) != nil || refusal.Reason == "" {
			refusal = doors.Refusal{Reason: fmt.Sprintf("what answers at the agent's socket is no agent of this version (status %d)", response.StatusCode), Hint: "install pier and agent of the same version"}
		}
		return pierhead.NewProblem(pierhead.ErrUnreachable, refusal.Reason, refusal.Hint)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return pierhead.NewProblem(pierhead.ErrUnreachable, "what answers at the agent's socket is no agent of this version", "install pier and agent of the same version")
	}
	return nil
}

// sockets are where the agent of this machine may listen.
func (p *program) sockets() []string { return doors.Sockets(os.Geteuid() == 0, p.env) }

// mayAskAgent tells whether an agent of this machine answers this user.
func (p *program) mayAskAgent(ctx context.Context) bool {
	c, err := p.dialAgent(ctx, "", "")
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// dialAgent opens the first socket that is there.
func (p *program) dialAgent(ctx context.Context, _, _ string) (net.Conn, error) {
	var failed error
	for _, path := range p.sockets() {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return c, nil
		}
		if failed == nil || !errors.Is(err, fs.ErrNotExist) {
			failed = err
		}
	}
	return nil, failed
}

// agentAway says why the agent of this machine could not be asked.
func (p *program) agentAway(err error) error {
	where := strings.Join(p.sockets(), " or ")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &pierhead.Problem{Kind: pierhead.ErrUnreachable, Cause: err, Text: "no agent runs on this machine: nobody answers at " + where,
			Hint: "start it: pier agent, or pier up; if it listens elsewhere, name its socket in " + doors.SocketVariable}
	case errors.Is(err, fs.ErrPermission):
		return &pierhead.Problem{Kind: pierhead.ErrNotAllowed, Cause: err, Text: "this user may not ask the agent of this machine, at " + where,
			Hint: "run it as root, or as a member of the group that the agent's log names"}
	}
	return &pierhead.Problem{Kind: pierhead.ErrUnreachable, Cause: err, Text: fmt.Sprintf("the agent of this machine does not answer at %s: %v", where, err), Hint: "look at its log"}
}
