// Package google is who this node is at Google, and the one way in which tokens are asked for there. It is for
// exchange/gcp and secret/gcpsm; identity/googletest stands for Google in tests.
//
// A Client asks Google for access tokens: with a service account's key, by federation, by standing in for a service
// account. A Node is this machine's own identity: what GOOGLE_APPLICATION_CREDENTIALS names where the operator set it (a
// service account's key, an external_account of workload identity federation, an impersonated service account), else the
// metadata server of the machine, at GCE_METADATA_HOST where that is set. What a person who once typed gcloud left in his
// home directory is never looked at: a node is not a person.
package google

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"pierhead.dev/pierhead/secret"
)

// scope is what tokens are asked for: what a principal may do is said by IAM, and both the registries and Secret Manager
// take this one.
const scope = "https://www.googleapis.com/auth/cloud-platform"

const (
	whole     = 40 * time.Second  // one token, with all that leads to it
	detection = 2 * time.Second   // a machine without a metadata server is known after that
	forgotten = time.Minute       // how long a node without an identity is not asked again
	little    = 225 * time.Second // a token with less life left is asked for again: Google's own libraries have it so, the metadata server renews at 4 minutes
	spare     = time.Minute       // a token with more life left serves while nobody answers
)

// A Token is an access token.
type Token struct {
	Value     secret.Value
	Expires   time.Time // as it came back; zero where nothing was said
	Principal string    // whom it stands for, safe to print: an e-mail, or principalSet://… for a federated workload
}

// silent keeps the libraries from logging: at debug level (GOOGLE_SDK_GO_LOGGING_LEVEL) they write keys and tokens.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A Node is this machine's own identity. It looks for it when it is first asked, never before.
type Node struct {
	client *Client
	flight singleflight.Group

	mu       sync.Mutex
	token    Token
	obtained time.Time
	here     bool // a metadata server has answered
	absent   error
	absentAt time.Time
}

// NewNode makes a Node; nothing is asked of anybody yet.
func NewNode(client *Client) *Node { return &Node{client: client} }

// Token returns the node's own token. One request serves all who ask meanwhile, and its token all who ask during the first
// third of its life; whoever renews at half-life gets a new one. While Google does not answer, a token that is still good
// serves on. Errors, as *Error: ErrNoIdentity (remembered for a minute), ErrRefused, ErrUnreachable; ctx's own when it
// ended.
func (n *Node) Token(ctx context.Context) (Token, error) {
	if err := ctx.Err(); err != nil {
		return Token{}, err
	}
	if token, known, err := n.known(); known {
		return token, err
	}
	detached := context.WithoutCancel(ctx) // who asks first may go away: the others still wait
	answer := n.flight.DoChan("", func() (any, error) {
		if token, known, err := n.known(); known { // an answer came between the look and the flight
			return token, err
		}
		bounded, cancel := context.WithTimeout(detached, whole)
		defer cancel()
		token, err := n.fetch(bounded)
		return n.keep(token, err)
	})
	select {
	case <-ctx.Done():
		return Token{}, ctx.Err()
	case a := <-answer:
		token, _ := a.Val.(Token)
		return token, a.Err
	}
}

// known is the answer where nobody need be asked.
func (n *Node) known() (Token, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if n.absent != nil && now.Sub(n.absentAt) < forgotten {
		return Token{}, true, n.absent
	}
	left := n.token.Expires.Sub(now)
	return n.token, left > little && left > n.token.Expires.Sub(n.obtained)*2/3, nil
}

// keep remembers an answer.
func (n *Node) keep(token Token, err error) (Token, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil:
		n.token, n.obtained, n.absent = token, now, nil
	case errors.Is(err, ErrNoIdentity):
		n.absent, n.absentAt = err, now
	case errors.Is(err, ErrUnreachable) && n.token.Expires.Sub(now) > spare:
		return n.token, nil
	}
	return token, err
}

func (n *Node) fetch(ctx context.Context) (Token, error) {
	if name := credentialsFile(); name != "" {
		return n.client.fromFile(ctx, name)
	}
	return n.fromMetadata(ctx)
}

// HTTPClient makes a client for one of Google's APIs: it sends the node's token, by https, to that host and nowhere else,
// within the bounds of every request here. An answer other than a success is an *Answer among its errors.
func (n *Node) HTTPClient(host string) *http.Client {
	return &http.Client{Transport: &bearer{host: host, token: n.Token, next: n.client.http.Transport}}
}
