// Package client is a remote registry, whoever runs it. It is for brokers and builds: a value per registry host and
// login, which implements the faces of package oci over egress.
//
// It answers challenges (Bearer and Basic), keeps bearer tokens until half their life with one fetch for all who wait,
// renews what was refused once, repeats what may be repeated within bounds, verifies every digest, and goes on with a
// blob where its transfer broke off. A login is sent to the host it is for and to that host's own token servers; the
// first is checked here with Credential.For, the second in egress, which refuses everything else.
package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
)

// Credentials hands out the login for the registry.
type Credentials interface {
	// Credential returns the login; an empty one means that there is none, and the registry is asked anonymously.
	// stale, where it is not nil, was just refused: another one is wanted, and getting the same again is an answer
	// too. An error ends the request and is passed on; it is no refusal.
	Credential(ctx context.Context, stale *credential.Credential) (credential.Credential, error)
}

// Config says whom to talk to and how. Rules.Host is needed, all else has zero values that work.
type Config struct {
	Rules       egress.Rules   // Rules.Host is the registry as it is dialled: image.Reference.DialHost
	Credentials Credentials    // nil: anonymous
	Network     egress.Network // the zero value: this machine's
	UserAgent   string         // "pierhead" where empty

	Now    func() time.Time                                 // time.Now where nil
	Sleep  func(ctx context.Context, d time.Duration) error // between tries; a timer where nil
	Jitter func() float64                                   // in [0, 1); random where nil
}

// A Client is one registry host with one login. It is safe for concurrent use.
type Client struct {
	oci.Unsupported // what a later version of the faces has, and this does not

	config Config
	egress *egress.Client
	host   string // canonical: what logins are for
	base   url.URL
	tokens tokens
	sent   *sent
	sizes  *sizes

	mu         sync.Mutex
	challenges map[purpose]challenge // what the registry asked for last time
}

// A purpose is what a token is asked for.
type purpose struct {
	repository string
	actions    string // "pull", "pull,push"
}

const (
	pull   = "pull"
	push   = "pull,push"
	remove = "delete"
)

// maxChallenges are remembered; beyond it all are forgotten, and cost one answer more each.
const maxChallenges = 4096

// New makes a client. The errors are those of egress.New, and a host that is not one.
func New(config Config) (*Client, error) {
	host, err := image.CanonicalHost(config.Rules.Host)
	if err != nil {
		return nil, fmt.Errorf("host of the registry: %w", err)
	}
	out, err := egress.New(config.Rules, config.Network)
	if err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Sleep == nil {
		config.Sleep = sleep
	}
	if config.Jitter == nil {
		config.Jitter = rand.Float64
	}
	if config.UserAgent == "" {
		config.UserAgent = "pierhead"
	}
	return newClient(config, out, host, &sent{}, &sizes{}), nil
}

func newClient(config Config, out *egress.Client, host string, sent *sent, sizes *sizes) *Client {
	c := &Client{config: config, egress: out, host: host, challenges: make(map[purpose]challenge), sent: sent, sizes: sizes}
	c.base = url.URL{Scheme: "https", Host: config.Rules.Host}
	if config.Rules.PlainHTTP {
		c.base.Scheme = "http"
	}
	c.tokens = tokens{now: config.Now, jitter: config.Jitter, entries: make(map[tokenKey]*token)}
	return c
}

// Anonymous is the same registry, over the same connections, without a login. The logins that c has sent stay hidden in
// what the registry says: it knows them, and may bring them up again.
func (c *Client) Anonymous() *Client {
	config := c.config
	config.Credentials = nil
	return newClient(config, c.egress, c.host, c.sent, c.sizes)
}

// Close drops idle connections. The client may be used again.
func (c *Client) Close() { c.egress.Close() }

// Host is the registry's canonical host: what a login must be for.
func (c *Client) Host() string { return c.host }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// at makes an address of the registry below /v2/. The parts are checked names, tags and digests.
func (c *Client) at(path string) *url.URL {
	u := c.base
	u.Path = "/v2/" + path
	return &u
}

func (c *Client) remember(p purpose, ch challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.challenges) >= maxChallenges {
		clear(c.challenges)
	}
	c.challenges[p] = ch
}

func (c *Client) remembered(p purpose) (challenge, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, ok := c.challenges[p]
	return ch, ok
}

// A call is one request to the registry, as often as it must be sent.
type call struct {
	operation  string // for people: "manifest v1 of acme/app"
	about      about
	method     string
	url        *url.URL
	header     http.Header
	purpose    purpose
	body       bodyFunc
	length     int64
	maxBody    int64
	idempotent bool // may be sent again after an answer that broke or a server's fault
	token      bool // is for the token server
}

// about is what a call concerns: what a 404 means.
type about int

const (
	aboutManifest about = iota
	aboutBlob
	aboutUpload
	aboutName
)
