package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// CreateExecution submits an execution.
func (c *Client) CreateExecution(ctx context.Context, e NewExecution) (Execution, error) {
	return post[Execution](ctx, c, path("executions"), e)
}

// An ExecutionFilter chooses executions; zero fields choose all that the caller may see.
type ExecutionFilter struct {
	Owner   string // an organization or person
	Project string // the project's name without its owner; needs Owner
	State   string
	Before  string // an execution's id: those older than it
	Limit   int
}

// Executions lists executions, newest first.
func (c *Client) Executions(ctx context.Context, f ExecutionFilter) ([]Execution, error) {
	query := values("owner", f.Owner, "project", f.Project, "state", f.State, "before", f.Before, "limit", number(f.Limit))
	list, err := get[ExecutionList](ctx, c, path("executions"), query)
	return list.Executions, err
}

// Execution returns one execution.
func (c *Client) Execution(ctx context.Context, id string) (Execution, error) {
	return get[Execution](ctx, c, path("executions", id), nil)
}

// StopExecution asks for an execution's end; it goes on until its node has stopped it.
func (c *Client) StopExecution(ctx context.Context, id string) (Execution, error) {
	return post[Execution](ctx, c, path("executions", id, "stop"), nil)
}

// ExecutionLog opens an execution's log from a byte offset on. With follow it streams until the execution is final and
// all of its log was sent; a server that shuts down ends the stream earlier, and the next one begins where it ended.
func (c *Client) ExecutionLog(ctx context.Context, id string, offset int64, follow bool) (io.ReadCloser, error) {
	query := values("offset", strconv.FormatInt(offset, 10))
	if follow {
		query.Set("follow", "true")
	}
	response, err := c.send(ctx, http.MethodGet, path("executions", id, "log"), query, "", nil)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// resumePauses are how long FollowLog waits before it asks again, attempt by attempt without any progress.
var resumePauses = [...]time.Duration{0, 200 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// FollowLog copies an execution's log to a writer from a byte offset on until the execution is final, and resumes where
// it was when the connection breaks. It returns the execution as it ended.
func (c *Client) FollowLog(ctx context.Context, id string, offset int64, to io.Writer) (Execution, error) {
	for attempt := 0; ; attempt++ {
		copied, err := c.copyLog(ctx, id, offset, to)
		offset += copied
		var broken *writeError
		if errors.As(err, &broken) {
			return Execution{}, broken.err
		}
		execution, stateErr := c.Execution(ctx, id)
		if err == nil && stateErr == nil && execution.Final() && offset >= execution.LogSizeBytes {
			return execution, nil
		}
		if copied > 0 {
			attempt = 0
		}
		if err = firstError(stateErr, err); attempt == len(resumePauses)-1 && err != nil || permanent(err) {
			return execution, err
		}
		select {
		case <-time.After(resumePauses[min(attempt, len(resumePauses)-1)]):
		case <-ctx.Done():
			return execution, ctx.Err()
		}
	}
}

// permanent tells whether asking again is of no use.
func permanent(err error) bool {
	status := StatusOf(err).HTTP
	return err != nil && status >= 400 && status < 500
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// A writeError is one of the place that FollowLog copies to; no resuming helps.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

func (c *Client) copyLog(ctx context.Context, id string, offset int64, to io.Writer) (int64, error) {
	body, err := c.ExecutionLog(ctx, id, offset, true)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	var copied int64
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return copied, &writeError{err}
			}
			copied += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return copied, nil
		}
		if err != nil {
			return copied, c.unreachable(ctx, err)
		}
	}
}
