package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"pierhead.dev/pierhead"
)

// Snapshot returns the node's snapshot when its version is another than after, and waits up to wait (at most MaxWait)
// for one; ok is false when none came.
func (c *Client) Snapshot(ctx context.Context, after int64, wait time.Duration) (snapshot pierhead.Snapshot, ok bool, err error) {
	query := values("after", strconv.FormatInt(after, 10), "wait", wait.String())
	wire, ok, err := call[Snapshot](ctx, c, http.MethodGet, path("node", "snapshot"), query, nil)
	if err != nil || !ok {
		return pierhead.Snapshot{}, false, err
	}
	return wire.Noun(), true, nil
}

// TakeWork fetches up to max executions that the node should begin or stop, and questions to answer; it waits up to
// wait (at most MaxWait) for any. What is not acknowledged by Report comes again.
func (c *Client) TakeWork(ctx context.Context, max int, wait time.Duration) ([]pierhead.Execution, []Question, error) {
	query := values("max", strconv.Itoa(max), "wait", wait.String())
	work, err := get[Work](ctx, c, path("node", "work"), query)
	return mapped(work.Executions, Execution.Noun), work.Questions, err
}

// NodeExecutions lists the executions that this node has and that are not final.
func (c *Client) NodeExecutions(ctx context.Context) ([]pierhead.Execution, error) {
	list, err := get[ExecutionList](ctx, c, path("node", "executions"), nil)
	return mapped(list.Executions, Execution.Noun), err
}

// Report tells how far an execution came; a repeated report is fine. Errors: ErrConflict when the state would go back.
func (c *Client) Report(ctx context.Context, id string, p pierhead.Progress) (pierhead.Execution, error) {
	execution, err := put[Execution](ctx, c, path("node", "executions", id, "progress"), ProgressOf(p))
	return execution.Noun(), err
}

// AppendLog hands over log bytes that begin at offset, at most MaxLogChunk, and returns how much the server has now.
// Bytes that it has already are ignored; a gap is ErrConflict.
func (c *Client) AppendLog(ctx context.Context, id string, offset int64, data []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	query := values("offset", strconv.FormatInt(offset, 10))
	response, err := c.send(ctx, http.MethodPost, path("node", "executions", id, "log"), query, "application/octet-stream", data)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var size LogSize
	if err := json.NewDecoder(io.LimitReader(response.Body, MaxBody)).Decode(&size); err != nil {
		return 0, c.unreachable(ctx, fmt.Errorf("log of %s: %w", id, err))
	}
	return size.SizeBytes, nil
}

// DeliverEvents hands over events; those with an id that was delivered before are ignored.
func (c *Client) DeliverEvents(ctx context.Context, events []pierhead.Event) error {
	_, _, err := call[struct{}](ctx, c, http.MethodPost, path("node", "events"), nil, EventsOf(events))
	return err
}

// PutDataKey publishes the public half of the node's data-plane key.
func (c *Client) PutDataKey(ctx context.Context, key pierhead.DataKey) error {
	_, _, err := call[struct{}](ctx, c, http.MethodPut, path("node", "data-key"), nil, DataKeyOf(key))
	return err
}

// Answer answers a question that came with TakeWork. Errors: ErrNotFound when nobody waits for it any more.
func (c *Client) Answer(ctx context.Context, questionID string, a Answer) error {
	_, _, err := call[struct{}](ctx, c, http.MethodPut, path("node", "answers", questionID), nil, a)
	return err
}

// RegistryGrant returns the node's right to pull from the hosted registry. Errors: ErrConflict for the node inside
// `pier up`.
func (c *Client) RegistryGrant(ctx context.Context) (RegistryGrant, error) {
	return post[RegistryGrant](ctx, c, path("node", "registry-grant"), nil)
}
