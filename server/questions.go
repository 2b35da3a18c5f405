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
	arrived  chan struct{} // closed at the next question
	lastPoll time.Time
}

// A question waits for one answer of the node that took it.
type question struct {
	api.Question
	node   string // its id; empty until one took it
	answer chan api.Explanation
}

func newQuestions(now func() time.Time) *questions {
	return &questions{now: now, waiting: map[string]*question{}, arrived: make(chan struct{})}
}

// ask hands a question to whichever agent takes it and waits for the answer. It is false when no agent is there, or
// none answers within wait.
func (q *questions) ask(ctx context.Context, text api.Question, wait time.Duration) (api.Explanation, bool) {
	asked := q.add(text)
	if asked == nil {
		return api.Explanation{}, false
	}
	defer q.drop(asked.ID)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case answer := <-asked.answer:
		return answer, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return api.Explanation{}, false
}

func (q *questions) add(text api.Question) *question {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxQuestions || q.lastPoll.IsZero() || q.now().Sub(q.lastPoll) > agentSilence {
		return nil
	}
	text.ID = ids.New("ask")
	asked := &question{Question: text, answer: make(chan api.Explanation, 1)}
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

// polled notes that an agent is there, and returns what is closed at the next question.
func (q *questions) polled() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastPoll = q.now()
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
func (q *questions) reply(node, id string, answer api.Explanation) error {
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
