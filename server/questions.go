package server

import (
	"context"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/ids"
)

// maxQuestions is how many questions may wait for agents at once.
const maxQuestions = 1000

// agentSilence is how long after its last poll for work an agent is taken for gone; it polls at least every api.MaxWait.
const agentSilence = api.MaxWait + 15*time.Second

// questions is where people who ask and agents who answer meet. It is in memory: who asked waits on this process.
type questions struct {
	now      func() time.Time
	mu       sync.Mutex
	waiting  map[string]*question
	arrived  chan struct{}        // closed at the next question
	lastPoll map[string]time.Time // by the organization that the asking nodes belong to, "" for those that serve all
}

// A question waits for one answer of the node that took it.
type question struct {
	api.Question
	node   string        // its id; empty until one took it
	taken  chan struct{} // closed when one did
	answer chan api.Answer
}

func newQuestions(now func() time.Time) *questions {
	return &questions{now: now, waiting: map[string]*question{}, arrived: make(chan struct{}), lastPoll: map[string]time.Time{}}
}

// present tells whether an agent that serves an organization asked for work lately; the empty id is that of personal projects.
func (q *questions) present(organizationID string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, of := range []string{"", organizationID} {
		if last, known := q.lastPoll[of]; known && q.now().Sub(last) <= agentSilence {
			return true
		}
	}
	return false
}

// ask hands a question to whichever agent takes it within toTake, and waits for its answer for toAnswer from then on. taken
// tells whether one took it; the answer is nil when none came in time.
func (q *questions) ask(ctx context.Context, text api.Question, toTake, toAnswer time.Duration) (answer *api.Answer, taken bool) {
	asked := q.add(text)
	if asked == nil {
		return nil, false
	}
	defer q.drop(asked.ID)
	timer := time.NewTimer(toTake)
	defer timer.Stop()
	select {
	case <-asked.taken:
	case <-timer.C:
		return nil, false
	case <-ctx.Done():
		return nil, false
	}
	timer.Reset(toAnswer)
	select {
	case answer := <-asked.answer:
		return &answer, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, true
}

func (q *questions) add(text api.Question) *question {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxQuestions {
		return nil
	}
	text.ID = ids.New("ask")
	asked := &question{Question: text, taken: make(chan struct{}), answer: make(chan api.Answer, 1)}
	q.waiting[text.ID] = asked
	close(q.arrived)
	q.arrived = make(chan struct{})
	return asked
}

func (q *questions) drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, id)
}

// anybody tells whether any agent ever asked for work.
func (q *questions) anybody() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lastPoll) > 0
}

// polled notes that an agent is there, of an organization or of all, and returns what is closed at the next question.
func (q *questions) polled(nodeOf string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastPoll[nodeOf] = q.now()
	return q.arrived
}

// take gives the node the questions that no node has yet, and that serves tells it may answer.
func (q *questions) take(node string, serves func(organizationID string) bool) []api.Question {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := []api.Question{}
	for _, asked := range q.waiting {
		if asked.node == "" && serves(asked.OrganizationID) {
			asked.node = node
			close(asked.taken)
			taken = append(taken, asked.Question)
		}
	}
	return taken
}

// open tells whether any question waits for a node.
func (q *questions) open() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, asked := range q.waiting {
		if asked.node == "" {
			return true
		}
	}
	return false
}

// reply takes the answer of the node that has the question. Errors: pierhead.ErrNotFound when nobody waits any more, or
// another node was asked.
func (q *questions) reply(node, id string, answer api.Answer) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	asked := q.waiting[id]
	if asked == nil || node == "" || asked.node != node {
		return pierhead.NewProblem(pierhead.ErrNotFound, "nobody waits for this answer", "")
	}
	asked.answer <- answer // there is room: whoever replies first deletes the question
	delete(q.waiting, id)
	return nil
}
