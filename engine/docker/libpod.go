package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/moby/moby/api/types/registry"

	"pierhead.dev/pierhead/engine"
)

// libpodVersion is the oldest version of Podman's own API that is spoken here; Podman 5 still answers to it.
const libpodVersion = "v4.0.0"

// libpodErrorLimit bounds what is read of a refusal, in bytes.
const libpodErrorLimit = 64 << 10

// libpod posts to Podman's own API over the connection that the client library uses, and returns the answer's body.
// auth is a X-Registry-Auth header or empty. Errors: as of the client library, found by errdefs; engine.ErrUnreachable.
func (e *Engine) libpod(ctx context.Context, path string, query url.Values, auth string) (io.ReadCloser, error) {
	address := "http://podman.localhost/" + libpodVersion + "/libpod" + path + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return nil, err
	}
	if auth != "" {
		request.Header.Set(registry.AuthHeader, auth)
	}
	dial := e.api.Dialer() // of the library: it knows sockets, TCP and TLS
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	// A transport alone, not a client: nothing here follows a redirect.
	answer, err := transport.RoundTrip(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w at %s: %v", engine.ErrUnreachable, e.address, err) // %v: the cause is only told
	}
	if answer.StatusCode != http.StatusOK {
		defer closeQuietly(answer.Body)
		return nil, libpodError(answer)
	}
	return answer.Body, nil
}

// libpodError reads {"cause":…,"message":…,"response":…}.
func libpodError(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, libpodErrorLimit))
	if err != nil {
		return err
	}
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(string(body))
	}
	kind := errhttp.ToNative(answer.StatusCode)
	if kind == nil {
		kind = errdefs.ErrUnknown
	}
	return fmt.Errorf("%s (%w)", said.Message, kind)
}
