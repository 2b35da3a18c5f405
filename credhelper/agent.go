package credhelper

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pierhead.dev/pierhead/internal/doors"
)

// maxAnswer bounds what is read of an answer, in bytes: a list of hosts is the longest.
const maxAnswer = 2 << 20

// An Agent is the agent of this machine as a helper finds it.
type Agent struct {
	Sockets []string                        // where it may listen; they are tried in this order
	Dial    func(path string) (Conn, error) // opens one of them; nil is this machine's own way
}

// Here is the agent of this machine, at the places that the environment names.
func Here() Agent { return Agent{Sockets: doors.Sockets(os.Geteuid() == 0, os.Getenv)} }

// Lend is an Ask.
func (a Agent) Lend(ctx context.Context, ask doors.Ask) (doors.Loan, error) {
	answer, err := a.call(ctx, "POST", doors.PathCredential, askText(ask))
	if err != nil {
		return doors.Loan{}, err
	}
	loan := doors.Loan{Username: answer.field("username").text, Password: answer.field("password").text, Host: answer.field("host").text,
		Reach: doors.Reach(answer.field("reach").text), Registry: answer.field("registry").text, Warning: answer.field("warning").text}
	loan.CacheFor, _ = strconv.ParseInt(answer.field("cache_for_seconds").number, 10, 64)
	loan.ExpiresAt, _ = time.Parse(time.RFC3339, answer.field("expires_at").text)
	if loan.Username == "" && loan.Password == "" || loan.Host == "" {
		return doors.Loan{}, notUnderstood(200)
	}
	return loan, nil
}

// Hosts asks for which hosts there may be credentials, with the user names that are known.
func (a Agent) Hosts(ctx context.Context) (map[string]string, error) {
	answer, err := a.call(ctx, "GET", doors.PathHosts, nil)
	if err != nil {
		return nil, err
	}
	hosts := answer.field("hosts")
	if hosts.fields == nil {
		return nil, notUnderstood(200)
	}
	list := make(map[string]string, len(hosts.fields))
	for host, username := range hosts.fields {
		list[host] = username.text
	}
	return list, nil
}

// askText is the ask as JSON, without what is empty.
func askText(ask doors.Ask) []byte {
	text := Quote([]byte(`{"door":`), string(ask.Door))
	for _, field := range [][2]string{{`,"host":`, ask.Host}, {`,"image":`, ask.Image}, {`,"service_account_token":`, ask.ServiceAccountToken}} {
		if field[1] != "" {
			text = Quote(append(text, field[0]...), field[1])
		}
	}
	return append(text, '}')
}

// call asks once and returns the object that came back, or the refusal.
func (a Agent) call(ctx context.Context, method, path string, body []byte) (value, error) {
	status, text, err := a.exchange(ctx, method, path, body)
	if err != nil {
		return value{}, err
	}
	answer, err := parse(text)
	switch {
	case err != nil || answer.fields == nil:
		return value{}, notUnderstood(status)
	case status == 200:
		return answer, nil
	}
	reason, hint := answer.field("reason").text, answer.field("hint").text
	if reason == "" {
		return value{}, notUnderstood(status)
	}
	return value{}, &Refusal{Refusal: doors.Refusal{Reason: reason, Hint: hint}, None: status == 404}
}

func notUnderstood(status int) error {
	return refuse("the answer of the agent is not understood (status "+strconv.Itoa(status)+")", "install helper and agent of the same version; or something else listens at the agent's socket", nil)
}

func (a Agent) exchange(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	c, err := a.dial(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	request := method + " " + path + " HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	// What the agent says before it has read everything is its answer too.
	_, sent := c.Write(append([]byte(request), body...))
	status, text, err := readAnswer(c, maxAnswer)
	switch {
	case err == nil:
		return status, text, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, nil, refuse("the agent of this node did not answer in time", "ask it how it is: pier node status", err)
	case errors.Is(err, errAnswer):
		return 0, nil, notUnderstood(0)
	}
	return 0, nil, refuse("the agent of this node ended the connection without an answer", "try again; it may just be starting anew: pier node status", errors.Join(sent, err))
}

// dial tries one place after the other.
func (a Agent) dial(ctx context.Context) (Conn, error) {
	dial := a.Dial
	if dial == nil {
		dial = dialUnix
	}
	failed, where := error(syscall.ENOENT), strings.Join(a.Sockets, " or ")
	for _, path := range a.Sockets {
		c, err := dial(path)
		for errors.Is(err, syscall.EAGAIN) && pause(ctx) { // its queue is full
			c, err = dial(path)
		}
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, syscall.ENOENT) {
			failed, where = err, path
		}
	}
	return nil, undialled(where, failed)
}

// pause waits a little, or tells that there is no time for it.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(5 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// undialled says why nobody could be asked.
func undialled(path string, err error) error {
	start := "start it: pier agent, or pier up; if it listens elsewhere, name its socket in " + doors.SocketVariable
	switch {
	case errors.Is(err, syscall.ENOENT):
		return refuse("the agent of this node is not running: there is no socket "+path, start, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return refuse("the agent of this node is not running: nobody answers at "+path, start, err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return refuse("this user may not ask the agent of this node: permission denied at "+path, "run as root, or as a member of the group that the agent's log names", err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EAGAIN):
		return refuse("the agent of this node is not to be reached in time at "+path, "ask it how it is: pier node status", err)
	}
	return refuse("the agent of this node cannot be asked: "+err.Error(), start, err)
}
