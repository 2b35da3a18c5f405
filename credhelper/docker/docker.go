// Package docker is the protocol of Docker's credential helpers, which docker, podman, buildah, skopeo, crane, helm and
// BuildKit start (docker/docker-credential-helpers, credentials/credentials.go).
//
// Errors go to stdout, with exit code 1: clients make that line part of their own error, and pass stderr through to their
// users. One line they know: with it they go on without a credential, and public images are pulled. So it is said where
// there is none to be had, and nowhere else.
package docker

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/internal/doors"
)

// The lines that clients know.
const (
	notFound = "credentials not found in native keychain"
	noServer = "no credentials server URL"
)

// within is how long a call takes at most: the agent's own limit comes first.
const within = doors.DockerWithin + 700*time.Millisecond

// maxInput bounds stdin, in bytes, as Docker's own library does.
const maxInput = 64 << 10

// maxServer bounds the name of a server, in bytes: no host has more than 253.
const maxServer = 1 << 10

// hubKey is what Docker's clients call Docker Hub.
const hubKey = "https://index.docker.io/v1/"

const usage = `Usage: docker-credential-pier get|list|store|erase|version

Gives Docker, Podman, Buildah, Skopeo and others the credentials that the Pierhead agent of this
node lends them. They start it by themselves, where their configuration names it:

  {"credHelpers": {"registry.example.com": "pier"}}

It asks the agent at the socket that PIER_SOCKET names; else, unless root, at
$XDG_RUNTIME_DIR/pierhead/agent.sock, and then at /run/pierhead/agent.sock.
`

// An Agent is asked for credentials; credhelper.Agent is one. Errors as those of a credhelper.Ask.
type Agent interface {
	Lend(ctx context.Context, ask doors.Ask) (doors.Loan, error)
	Hosts(ctx context.Context) (map[string]string, error)
}

// A call is one start of the helper.
type call struct {
	in        io.Reader
	out, errs io.Writer
	agent     Agent
}

// Run does what the arguments say, and returns the exit code: 0 or 1.
func Run(arguments []string, in io.Reader, out, errs io.Writer, agent Agent, version string) int {
	c := call{in, out, errs, agent}
	if len(arguments) != 1 {
		return c.say(1, usage)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	switch arguments[0] {
	case "get":
		return c.get(ctx)
	case "list":
		return c.list(ctx)
	case "store", "erase":
		_, _ = credhelper.ReadInput(ctx, c.in, maxInput) // the client writes it, whatever becomes of it
		return c.fail("credentials are neither kept nor forgotten here: the Pierhead agent of this node lends those of the organization's registries",
			"an organization admin changes them: pier registry add, pier registry update; to log in by yourself, take this helper out of the client's configuration")
	case "version", "--version", "-v":
		return c.say(0, "docker-credential-pier (pierhead.dev/pierhead) "+version+"\n")
	case "help", "--help", "-h":
		return c.say(0, usage)
	}
	return c.say(1, usage)
}

func (c call) get(ctx context.Context) int {
	text, err := credhelper.ReadInput(ctx, c.in, maxInput)
	if err != nil {
		return c.fail("what the client asked for could not be read: "+err.Error(), "")
	}
	server := credhelper.OneLine(string(text))
	switch {
	case server == "":
		return c.say(1, noServer+"\n")
	case len(server) > maxServer:
		return c.fail("the client asks for a server whose name is too long to be one", "")
	}
	loan, err := c.agent.Lend(ctx, doors.Ask{Door: doors.Docker, Host: server})
	switch {
	case errors.Is(err, credhelper.ErrNone):
		c.tell(server+": "+err.Error(), credhelper.HintOf(err))
		return c.say(1, notFound+"\n")
	case err != nil:
		return c.fail(err.Error(), credhelper.HintOf(err))
	}
	if loan.Warning != "" {
		c.tell("warning: "+loan.Warning, "")
	}
	answer := append(credhelper.Quote([]byte(`{"ServerURL":`), server), `,"Username":`...)
	answer = append(credhelper.Quote(answer, loan.Username), `,"Secret":`...)
	return c.say(0, string(append(credhelper.Quote(answer, loan.Password), "}\n"...)))
}

// list tells for which hosts get may have an answer.
func (c call) list(ctx context.Context) int {
	hosts, err := c.agent.Hosts(ctx)
	if err != nil {
		return c.fail(err.Error(), credhelper.HintOf(err))
	}
	answer := []byte{'{'}
	for i, host := range slices.Sorted(maps.Keys(hosts)) {
		if i > 0 {
			answer = append(answer, ',')
		}
		key := host
		if host == "docker.io" {
			key = hubKey
		}
		answer = append(credhelper.Quote(answer, key), ':')
		answer = credhelper.Quote(answer, hosts[host])
	}
	return c.say(0, string(append(answer, "}\n"...)))
}

// say writes to stdout. Where nobody reads, the exit code says that too.
func (c call) say(code int, text string) int {
	if _, err := io.WriteString(c.out, text); err != nil {
		return 1
	}
	return code
}

// fail says on stdout, in the one line that clients show, what went wrong. It says so on stderr too, with what to do: Docker's
// command line drops that line, asks the registry without a login, and shows its users nothing but what was on stderr.
func (c call) fail(reason, hint string) int {
	c.tell(reason, hint)
	return c.say(1, "pierhead: "+credhelper.OneLine(reason)+"\n")
}

// tell says something on stderr only.
func (c call) tell(text, hint string) {
	_, _ = io.WriteString(c.errs, "docker-credential-pier: "+credhelper.OneLine(text)+"\n")
	if hint != "" {
		_, _ = io.WriteString(c.errs, "Hint: "+credhelper.OneLine(hint)+"\n")
	}
}
