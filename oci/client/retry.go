package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"pierhead.dev/pierhead/egress"
)

const (
	maxTries      = 4
	firstDelay    = 500 * time.Millisecond
	maxDelay      = 8 * time.Second
	maxRetryAfter = 60 * time.Second // a longer one is the caller's to wait for: Error.RetryAfter has it
)

// retrying repeats what failed for a moment: too many requests, a server that is not there just now, a connection that
// broke. Other refusals and answers are final.
func (c *Client) retrying(ctx context.Context, k call, try func() error) error {
	var evidence egress.Evidence
	for tries := 1; ; tries++ {
		err := try()
		if err == nil {
			return nil
		}
		var e *Error
		if !errors.As(err, &e) {
			return err
		}
		e.Evidence = evidence.Append(e.Evidence)
		evidence = e.Evidence
		delay, again := c.delay(k, e, tries)
		if deadline, has := ctx.Deadline(); !again || has && time.Until(deadline) <= delay {
			return err // that time ran out would say less than the answer does
		}
		if err := c.config.Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// delay tells whether to try again, and after which time.
func (c *Client) delay(k call, e *Error, tries int) (time.Duration, bool) {
	if tries >= maxTries || !k.idempotent || (e.Place == PlaceTokenServer || e.token) && !k.token {
		return 0, false // a token was tried as often already, inside
	}
	switch {
	case e.RetryAfter > 0 && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable && e.RetryAfter <= maxRetryAfter):
		// A little later than asked, and not all at once.
		return e.RetryAfter + time.Duration(c.config.Jitter()*float64(time.Second)), e.RetryAfter <= maxRetryAfter
	case momentary[e.Status]:
	case e.Status != 0:
		return 0, false
	case !errors.Is(e, egress.ErrBroken) && !errors.Is(e, egress.ErrTimeout):
		return 0, false
	}
	return c.backoff(tries), true
}

var momentary = map[int]bool{
	http.StatusRequestTimeout: true, http.StatusTooManyRequests: true, http.StatusInternalServerError: true,
	http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true,
}

// backoff doubles with each try, and is between half and all of that.
func (c *Client) backoff(tries int) time.Duration {
	full := min(firstDelay<<min(tries, 8), maxDelay)
	return full/2 + time.Duration(c.config.Jitter()*float64(full/2))
}

// peek reads an error answer's body, which is in memory, and leaves it to be read again.
func peek(r *egress.Response) []byte {
	body := readAll(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

func readAll(r *egress.Response) []byte {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what is there of it
	return body
}
