package agent

import (
	"slices"
	"sync"
	"time"

	"pierhead.dev/pierhead/internal/doors"
)

// maxTroubles are kept, of the last day.
const (
	maxTroubles = 50
	troubleAge  = 24 * time.Hour
)

// troubles are the questions of runtimes that ended badly, which many runtimes hide from their users.
type troubles struct {
	mu   sync.Mutex
	list []doors.Trouble // newest last
}

// note keeps one; the same again is the same with another time.
func (t *troubles) note(trouble doors.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(old doors.Trouble) bool {
		return old.Door == trouble.Door && old.Asked == trouble.Asked && old.Reason == trouble.Reason || trouble.At.Sub(old.At) > troubleAge
	})
	if len(t.list) == maxTroubles {
		t.list = t.list[1:]
	}
	t.list = append(t.list, trouble)
}

// newest lists them, newest first; never nil.
func (t *troubles) newest() []doors.Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append([]doors.Trouble{}, t.list...)
	slices.Reverse(list)
	return list
}

// trouble notes and logs that a runtime's question at a door ended badly. asked is the host or the image.
func (a *Agent) trouble(door doors.Door, asked, reason, hint string) {
	a.Log.Warn("a question of a runtime ended badly", "door", door, "asked", asked, "reason", reason, "hint", hint)
	a.troubles.note(doors.Trouble{At: a.now(), Door: door, Asked: asked, Reason: reason, Hint: hint})
}
