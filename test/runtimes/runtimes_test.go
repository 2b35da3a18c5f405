package runtimes

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead/test/internal/machine"
)

// helperWithin is how long a pull may take whose helper gets no answer: five seconds of the helper's, and the program's own.
const helperWithin = 8 * time.Second

// refused is how programs tell of a registry's 401.
var refused = regexp.MustCompile(`(?i)denied|unauthorized|authentication required|authorization failed|no basic auth credentials|invalid username/password`)

// all does something by every way, or by those of some doors, at the same time.
func (w *world) all(t *testing.T, what string, do func(t *testing.T, way way, h *home), doors ...string) {
	t.Run(what, func(t *testing.T) {
		for _, way := range ways {
			if len(doors) > 0 && !slices.Contains(doors, way.door) {
				continue
			}
			t.Run(way.program+" "+way.door, func(t *testing.T) {
				t.Parallel()
				do(t, way, w.homes[way])
			})
		}
	})
}

// pulls pulls an image of every login that the way is for.
func (w *world) pulls(t *testing.T, way way, h *home) {
	for _, l := range w.logins(way.door) {
		image, id := w.push(t, l)
		got, said, err := way.pull(t, h, way.named(image), false)
		if err != nil || got != id {
			t.Errorf("it pulled %q, not %q: %v\n%s", got, id, err, said)
		}
	}
}

// Seeds 000 to 003, FIELD P6, P7 and P11: whatever pulls on a node with an agent gets the right login by itself, two on one host
// included; with the control plane away, after a rotation and after restarts too; and where there is none, somebody says why.
func TestRuntimes(t *testing.T) {
	w := newWorld(t)
	w.all(t, "refused without Pierhead", func(t *testing.T, way way, h *home) {
		image, _ := w.push(t, w.logins(way.door)[0])
		if id, said, err := way.pull(t, h, image, true); err == nil || !refused.MatchString(said) {
			t.Errorf("it pulled %s: %v\n%s", id, err, said)
		}
	})
	w.all(t, "set up", func(t *testing.T, way way, h *home) {
		w.settingUp.Lock() // pier lets one setup of a machine go at a time
		defer w.settingUp.Unlock()
		way.setUp(t, h)
	})
	w.all(t, "pulled", w.pulls)
	t.Run("run", w.runs)
	w.rotate(t)
	w.all(t, "pulled after the password was changed", w.pulls)
	w.all(t, "a secret that nobody has", w.without(w.gone, w.lost, "secret file:gone: no such file"))
	w.status(t, "a secret that nobody has", "Docker's helper for "+w.gone.Registry, "the mirror for "+w.gone.Registry+"/gone/app", "file:gone", "the mirror for docker.io/lost/app", "Hint: put the secret into")
	w.all(t, "a secret store that never answers", w.without(w.slow, nil, "registry slow"), helper)
	w.status(t, "a secret store that never answers", w.slow.Registry, "registry slow", "in time")

	w.server.Kill()
	w.all(t, "pulled without the control plane", w.pulls)
	w.agent.Kill()
	w.startAgent(t)
	w.all(t, "pulled without the control plane, and the agent started again", w.pulls)
	w.rotate(t)
	w.all(t, "pulled without the control plane, and the password changed meanwhile", w.pulls)

	w.agent.Signal(syscall.SIGSTOP)
	w.all(t, "the agent does not answer", w.without(w.alice, w.erin, "the agent of this node did not answer in time"), helper)
	w.statusFails(t, "the agent does not answer", "the agent of this machine does not answer")
	w.agent.Kill()
	w.all(t, "the agent was killed", w.without(w.alice, w.erin, "the agent of this node is not running: nobody answers at "+socketPath))
	w.statusFails(t, "the agent was killed", "no agent runs on this machine")
	must(t, os.Remove(socketPath))
	w.all(t, "there is no socket", w.without(w.alice, w.erin, "the agent of this node is not running: there is no socket "+socketPath))
	w.statusFails(t, "there is no socket", "no agent runs on this machine")
	w.startAgent(t)
	w.all(t, "pulled when the agent is back", w.pulls)
	t.Run("no password is anywhere but in its secret", w.keepsSecrets)
}

// rotate changes every password, at the registries and in the agent's secrets.
func (w *world) rotate(t *testing.T) {
	t.Helper()
	for _, l := range []*machine.Login{w.alice, w.carol, w.dave, w.erin} {
		l.Rotate(t)
	}
}

// without pulls what there is no login for now, and looks whether who shall show the reason does.
// atHub is pulled by the way that knows Docker Hub only.
func (w *world) without(elsewhere, atHub *machine.Login, reason string) func(t *testing.T, way way, h *home) {
	return func(t *testing.T, way way, h *home) {
		l := elsewhere
		if way.door == forHub {
			l = atHub
		}
		image, _ := w.push(t, l)
		begun := time.Now()
		id, said, err := way.pull(t, h, way.named(image), false)
		if err == nil {
			t.Fatalf("it pulled %s\n%s", id, said)
		}
		if took := time.Since(begun); took > helperWithin {
			t.Errorf("it took %s\n%s", took, said)
		}
		if (way.shows == helper || way.shows == mirror && l == w.gone) && !strings.Contains(said, reason) {
			t.Errorf("it does not show the reason: %s\n%s", err, said)
		}
	}
}

// status is what pier node status says on the machine, which must have these.
func (w *world) status(t *testing.T, when string, words ...string) {
	t.Run(when+": pier node status tells it", func(t *testing.T) {
		told := w.Must(t, "node", "status")
		for _, word := range words {
			if !strings.Contains(told, word) {
				t.Errorf("it has no %q:\n%s", word, told)
			}
		}
	})
}

// statusFails is for an agent that cannot be asked.
func (w *world) statusFails(t *testing.T, when, words string) {
	t.Run(when+": pier node status tells it", func(t *testing.T) {
		if _, said, code := w.Run(t, "", "", "node", "status"); code == 0 || !strings.Contains(said, words) || !strings.Contains(said, "Hint: ") {
			t.Errorf("exit code %d without %q:\n%s", code, words, said)
		}
	})
}
