package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pierhead.dev/pierhead"
)

// maxAnswer bounds what a client reads of one JSON answer.
const maxAnswer = 64 << 20

// callTimeout is how long one call may take, beside what a long poll waits.
const callTimeout = 30 * time.Second

// A ClientConfig says which server a Client speaks to, and as whom.
type ClientConfig struct {
	URL       string         // "http://127.0.0.1:7070" or "https://pier.example.com"; a path before /api is kept
	Token     string         // "pier_…"; empty: only what needs no token
	Sign      func() string  // a node's own token, made anew before it ends; nil: Token
	CAs       *x509.CertPool // of the server's certificate; nil: the system's
	UserAgent string         // empty: "pierhead"
}

// A Client calls the routes of one server. Its methods may be called at the same time. Their errors are of the kinds of
// package pierhead, or the context's: pierhead.ErrUnreachable when no answer came, with the URL in the text.
type Client struct {
	base      string
	token     func() string
	userAgent string
	http      *http.Client
	noTest    bool // registries are saved without a look at their credentials
}

// NewClient makes a client; nothing is sent yet. The error is of kind pierhead.ErrBadInput.
func NewClient(c ClientConfig) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the server's URL is not of the form http://HOST:PORT or https://HOST:PORT", "set it with --server or PIER_SERVER")
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the token has characters that no token has", "copy it whole, without spaces or line breaks")
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: c.CAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: MaxWait + callTimeout,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if c.UserAgent == "" {
		c.UserAgent = "pierhead"
	}
	if c.Sign == nil {
		c.Sign = func() string { return c.Token }
	}
	return &Client{
		base: strings.TrimSuffix(u.String(), "/"), token: c.Sign, userAgent: c.UserAgent,
		// A redirect would carry the token to another address, so none is followed.
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// URL is the server's address, without a slash at its end.
func (c *Client) URL() string { return c.base }

// CloseIdle closes connections that are kept for the next call.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// path joins segments below Prefix, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	b.WriteString(Prefix)
	for _, segment := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}

// send makes one request and returns its answer when that is a success; the caller closes its body.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) (*http.Response, error) {
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", c.base, err)
	}
	request.Header.Set("User-Agent", c.userAgent)
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	if token := c.token(); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.problem(response)
}

// unreachable says which server did not answer, and not what was asked: a query may hold what should not be repeated.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	hint := "see that the server runs and that its address is right (--server, PIER_SERVER)"
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		hint = "the server's certificate is of an unknown authority: name the file with the server's CA in PIER_CA"
	case errors.As(err, &record) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"): // net/http's words for it
		hint = "the server speaks plain HTTP there: write http:// in its address"
	}
	return &pierhead.Problem{Kind: pierhead.ErrUnreachable, Text: fmt.Sprintf("no answer from %s: %v", c.base, err), Hint: hint, Cause: err}
}

// problem reads the envelope of an answer that is no success.
func (c *Client) problem(response *http.Response) error {
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return pierhead.NewProblem(pierhead.ErrUnreachable, fmt.Sprintf("%s answered with a redirect, which is not followed", c.base),
			"use the address that the server really has")
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, MaxBody))
	var envelope Error
	if err != nil || json.Unmarshal(data, &envelope) != nil {
		return foreignProblem(response.StatusCode)
	}
	return problemOf(response.StatusCode, envelope.Error)
}

// call sends in as JSON, or nothing when it is nil, and reads the answer as JSON. An answer without content leaves the
// zero value; ok tells whether there was content.
func call[Out any](ctx context.Context, c *Client, method, path string, query url.Values, in any) (out Out, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout+waitOf(query))
	defer cancel()
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return out, false, fmt.Errorf("request to %s: %w", c.base, err)
		}
	}
	response, err := c.send(ctx, method, path, query, "application/json", body)
	if err != nil {
		return out, false, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return out, false, nil
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return out, false, c.unreachable(ctx, err)
	}
	if len(data) > maxAnswer {
		return out, false, pierhead.NewProblem(pierhead.ErrUnreachable, fmt.Sprintf("the answer of %s is too long", c.base), "ask for less")
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, false, pierhead.NewProblem(pierhead.ErrUnreachable, fmt.Sprintf("the answer of %s is not Pierhead's", c.base),
			"check that the URL is the one of a Pierhead server")
	}
	return out, true, nil
}

// get, post and the like are call for one method each.
func get[Out any](ctx context.Context, c *Client, path string, query url.Values) (Out, error) {
	out, _, err := call[Out](ctx, c, http.MethodGet, path, query, nil)
	return out, err
}

func post[Out any](ctx context.Context, c *Client, path string, in any) (Out, error) {
	out, _, err := call[Out](ctx, c, http.MethodPost, path, nil, in)
	return out, err
}

func put[Out any](ctx context.Context, c *Client, path string, in any) (Out, error) {
	out, _, err := call[Out](ctx, c, http.MethodPut, path, nil, in)
	return out, err
}

func remove(ctx context.Context, c *Client, path string) error {
	_, _, err := call[struct{}](ctx, c, http.MethodDelete, path, nil, nil)
	return err
}

// waitOf is how long the server may hold the request.
func waitOf(query url.Values) time.Duration {
	wait, err := time.ParseDuration(query.Get("wait"))
	if err != nil {
		return 0
	}
	return min(wait, MaxWait)
}

// values makes a query of pairs, without those that have no value.
func values(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}
