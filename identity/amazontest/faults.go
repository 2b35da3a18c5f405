package amazontest

import (
	"io"
	"net/http"
	"time"
)

// A Fault is what happens instead of an answer.
type Fault struct {
	Times    int           // how often; 0 is always
	Throttle bool          // the service's own throttling error
	Garble   bool          // an answer of status 200 that cannot be read
	Huge     bool          // an answer without an end
	Drop     bool          // the connection breaks
	Delay    time.Duration // before whatever else; alone, the answer is only late
	Status   int           // with Code: an error of the service
	Code     string
	Message  string
}

// On makes calls of an operation fail; an empty Fault ends that.
func (c *Cloud) On(operation string, f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == (Fault{}) {
		delete(c.faults, operation)
		return
	}
	c.faults[operation] = &f
}

// fault takes the fault that is due now.
func (c *Cloud) fault(operation string) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.faults[operation]
	if f == nil {
		return nil
	}
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(c.faults, operation)
		}
	}
	due := *f
	return &due
}

// suffer does what the fault says and tells whether the answer is done with; an error is left to the service's own form.
func (f *Fault) suffer(w http.ResponseWriter, r *http.Request) (done bool, err *apiError) {
	if f == nil {
		return false, nil
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return true, nil
		}
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Throttle:
		return false, &apiError{http.StatusBadRequest, "ThrottlingException", "Rate exceeded"}
	case f.Garble:
		_, _ = io.WriteString(w, "<html>{\"authorizationData\": 12, this is no answer")
		return true, nil
	case f.Huge:
		line := make([]byte, 64<<10)
		for i := range line {
			line[i] = ' '
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				break
			}
		}
		return true, nil
	case f.Code != "":
		return false, &apiError{f.Status, f.Code, f.Message}
	}
	return false, nil
}

// An apiError is a service's refusal; how it is written is the protocol's affair.
type apiError struct {
	status        int
	code, message string
}
