package egresstest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
)

// Proxy is a forward proxy of this world, for HTTP and HTTPS: it finds hosts by itself, asks no rules, and takes CONNECT
// and the absolute form.
func (w *World) Proxy() http.Handler {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		place, err := w.placeOf(address)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", place)
	}
	onward := &http.Transport{DialContext: dial, DisableCompression: true}
	w.t.Cleanup(onward.CloseIdleConnections)
	return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			connection, err := dial(r.Context(), "tcp", r.Host)
			if err != nil {
				http.Error(answer, "no way to "+r.Host, http.StatusBadGateway)
				return
			}
			join(answer, connection)
		case r.URL.IsAbs():
			pass(answer, r, onward)
		default:
			http.Error(answer, "this is a proxy", http.StatusBadRequest)
		}
	})
}

// placeOf finds where host:port really is.
func (w *World) placeOf(address string) (string, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.names[host] {
		if place, ok := w.places[netip.AddrPortFrom(a, uint16(port))]; ok {
			return place, nil
		}
	}
	return "", &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// join says 200 and makes one connection of two.
func join(answer http.ResponseWriter, to net.Conn) {
	from, buffer, err := http.NewResponseController(answer).Hijack()
	if err != nil {
		_ = to.Close()
		return
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(to, buffer)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
	_ = from.Close()
}

func pass(answer http.ResponseWriter, r *http.Request, onward http.RoundTripper) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	got, err := onward.RoundTrip(out)
	if err != nil {
		http.Error(answer, "no way to "+r.URL.Host, http.StatusBadGateway)
		return
	}
	defer got.Body.Close()
	for name, values := range got.Header {
		answer.Header()[name] = values
	}
	answer.WriteHeader(got.StatusCode)
	_, _ = io.Copy(answer, got.Body)
}
