package broker

import (
	"strings"
	"sync"
	"time"

	"pierhead.dev/pierhead"
)

// tellAgain is how long the same loan to the same door is not recorded again: a runtime asks for every pull, and a thousand
// pulls of one login are one line of the audit log.
const tellAgain = 10 * time.Minute

// maxLoans are remembered; beyond it all are forgotten, and cost one event more each.
const maxLoans = 4096

// loans remembers what was recorded of loans.
type loans struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// first tells whether something was not recorded for a while, and notes that it is now.
func (l *loans) first(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, told := l.told[key]; told && now.Sub(at) < tellAgain {
		return false
	}
	if len(l.told) >= maxLoans {
		clear(l.told)
	}
	l.told[key] = now
	return true
}

// tell records what became of a door's question, unless it did so a moment ago; which tells one answer from another.
func (b *Broker) tell(q Question, caller pierhead.Caller, kind, registry, which string, detail map[string]string) {
	if !b.loans.first(strings.Join([]string{q.OrganizationID, string(q.Door), caller.Name, q.Project, q.Reference.Name(), kind, registry, which}, "\n"), b.Now()) {
		return
	}
	b.record(q, caller, kind, registry, detail)
}
