package runtimes

import (
	"regexp"
	"testing"
)

// refused is how programs tell of a registry's 401.
var refused = regexp.MustCompile(`(?i)denied|unauthorized|authentication required|authorization failed|no basic auth credentials|invalid username/password`)

// all does something by every way, at the same time.
func (w *world) all(t *testing.T, what string, do func(t *testing.T, way way, h *home)) {
	t.Run(what, func(t *testing.T) {
		for _, way := range ways {
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

func TestRuntimes(t *testing.T) {
	w := newWorld(t)
	w.all(t, "refused without Pierhead", func(t *testing.T, way way, h *home) {
		image, _ := w.push(t, w.logins(way.door)[0])
		if id, said, err := way.pull(t, h, image, true); err == nil || !refused.MatchString(said) {
			t.Errorf("it pulled %s: %v\n%s", id, err, said)
		}
	})
	w.all(t, "set up", func(t *testing.T, way way, h *home) { way.setUp(t, h) })
	w.all(t, "pulled", w.pulls)
}
