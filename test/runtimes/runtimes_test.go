package runtimes

import (
	"regexp"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// refused is how programs tell of a registry's 401.
var refused = regexp.MustCompile(`(?i)denied|unauthorized|authentication required|authorization failed|no basic auth credentials|invalid username/password`)

func TestRuntimes(t *testing.T) {
	w := newWorld(t)
	alice := machine.Private(t, w.Dir, w.secrets, "alice")
	w.register(t, "alice", alice.Registry+"/*", "--secret", "file:alice")
	// The helper, who learns the host only, could not tell these two apart.
	carol, dave := machine.Private(t, w.Dir, w.secrets, "carol"), machine.Private(t, w.Dir, w.secrets, "dave")
	shared := share(t, carol, dave)
	for _, l := range []*machine.Login{carol, dave} {
		w.register(t, l.User, shared+"/"+l.User+"/*", "--secret", "file:"+l.User)
	}
	homes := map[string]*home{}
	for _, way := range ways {
		homes[way.name()] = w.settle(t, way.program+"-"+way.door)
	}
	all := func(t *testing.T, what string, check func(t *testing.T, way way, h *home)) {
		t.Run(what, func(t *testing.T) {
			for _, way := range ways {
				t.Run(way.name(), func(t *testing.T) {
					t.Parallel()
					check(t, way, homes[way.name()])
				})
			}
		})
	}
	pulls := func(t *testing.T, way way, h *home) {
		logins := map[string][]*machine.Login{helper: {alice}, mirror: {carol, dave}}
		for _, l := range logins[way.door] {
			image, id := w.push(t, l, l.User+"/app")
			got, said, err := way.pull(t, h, image)
			if err != nil || got != id {
				t.Errorf("it pulled %q, not %q: %v\n%s", got, id, err, said)
			}
		}
	}
	all(t, "refused without Pierhead", func(t *testing.T, way way, h *home) {
		image, _ := w.push(t, alice, "team/app")
		bare := way
		bare.door = helper // that is, nothing says anything of TLS
		if id, said, err := bare.pull(t, h, image); err == nil || !refused.MatchString(said) {
			t.Errorf("it pulled %s: %v\n%s", id, err, said)
		}
	})
	all(t, "set up", func(t *testing.T, way way, h *home) { way.setUp(t, h) })
	all(t, "pulled", pulls)
}
