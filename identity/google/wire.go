package google

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

const (
	oneTry   = 10 * time.Second // one try of one request
	tries    = 4
	longest  = 256 << 10        // bytes of an answer: a secret of 64 KiB in base64 fits twice
	patience = 10 * time.Second // the longest Retry-After that is waited for
)

// A wire carries every request of this room: bounded in time and in what it reads, tried again where Google throttles or
// stumbles. What is not a success becomes an *Answer among the errors, before a library can write a body into a text;
// so becomes a redirect, which no token request has. The errors have no cause that a library could take for one to try
// again.
type wire struct {
	next   http.RoundTripper
	flavor bool // the answer must be a metadata server's
}

// A failure is that no answer came.
type failure struct {
	host string
	text string // what happened; no secret in it
	kind error  // errAbroad, errTooLong, or nil
}

func (f *failure) Error() string {
	if f.kind != nil {
		return f.host + ": " + f.text
	}
	return f.host + " did not answer: " + f.text
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		response, err := w.once(r)
		if err == nil || try == tries || r.Context().Err() != nil || !wait(r.Context(), pause(err, try)) {
			return response, err
		}
		if r, err = again(r); err != nil {
			return nil, err
		}
	}
}

// once is one try, with all of its answer.
func (w *wire) once(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), oneTry)
	defer cancel()
	host := r.URL.Hostname()
	response, err := w.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if w.flavor && (errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)) {
			return nil, &failure{host: host, text: "there is no way to it", kind: errAbroad} // Google's machines have one: no use in trying again
		}
		return nil, failed(r.Context(), ctx, host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, longest+1))
	switch {
	case err != nil:
		return nil, failed(r.Context(), ctx, host, err)
	case len(body) > longest:
		return nil, &failure{host: host, text: fmt.Sprintf("its answer is longer than %d KiB", longest>>10), kind: errTooLong}
	case w.flavor && response.Header.Get("Metadata-Flavor") != "Google":
		return nil, &failure{host: host, text: "who answers there is no metadata server of Google's", kind: errAbroad}
	case response.StatusCode/100 != 2:
		return nil, newAnswer(host, response, body)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// failed tells what happened on the network. The end of all that was given time for stays what it is; that of one try is
// told.
func failed(all, try context.Context, host string, err error) error {
	switch {
	case all.Err() != nil:
		return all.Err()
	case try.Err() != nil:
		return &failure{host: host, text: fmt.Sprintf("it took longer than %v", oneTry)}
	}
	return &failure{host: host, text: clean(err.Error())}
}

// pause is how long to wait before another try: longer each time, with jitter, and as long as the other side says. It is
// negative where another try would have the same answer, or is too far off.
func pause(err error, try int) time.Duration {
	base := 500 * time.Millisecond << (try - 1)
	jittered := base/2 + rand.N(base)
	switch e := err.(type) {
	case *failure:
		if e.kind != nil {
			return -1
		}
	case *Answer:
		if !e.Throttled() && e.Status < 500 || e.after > patience {
			return -1
		}
		jittered += e.after
	default:
		return -1
	}
	return jittered
}

// wait tells whether there is still time for another try.
func wait(ctx context.Context, pause time.Duration) bool {
	if deadline, bounded := ctx.Deadline(); pause < 0 || bounded && time.Until(deadline) < pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// again is the same request with its body from the beginning.
func again(r *http.Request) (*http.Request, error) {
	next := r.Clone(r.Context())
	if r.Body == nil {
		return next, nil
	}
	if r.GetBody == nil {
		return nil, errors.New("a request whose body cannot be sent again")
	}
	var err error
	next.Body, err = r.GetBody()
	return next, err
}

// retryAfter reads the header's seconds; a date, which Google does not send, counts as none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// A bearer adds a token to requests to one host; to every other it sends nothing at all.
type bearer struct {
	host  string
	token func(context.Context) (Token, error)
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.URL.Host != b.host {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, &failure{host: r.URL.Host, text: "the token is for " + b.host + ", and is not sent there", kind: errAbroad}
	}
	token, err := b.token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(token.Value.Reveal()))
	return b.next.RoundTrip(r)
}
