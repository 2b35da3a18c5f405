package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"

	"pierhead.dev/pierhead"
)

// Nodes lists an organization's nodes, and those that serve all.
func (c *Client) Nodes(ctx context.Context, organization string) ([]Node, error) {
	list, err := get[NodeList](ctx, c, path("organizations", organization, "nodes"), nil)
	return list.Nodes, err
}

// Node returns one node.
func (c *Client) Node(ctx context.Context, organization, name string) (Node, error) {
	return get[Node](ctx, c, path("organizations", organization, "nodes", name), nil)
}

// RevokeNode ends a node at once. Errors: ErrConflict for the one inside `pier up`.
func (c *Client) RevokeNode(ctx context.Context, organization, name string) (Revocation, error) {
	return post[Revocation](ctx, c, path("organizations", organization, "nodes", name, "revoke"), nil)
}

// CreateJoinToken makes a token that makes one node.
func (c *Client) CreateJoinToken(ctx context.Context, organization string, t NewJoinToken) (CreatedToken, error) {
	return post[CreatedToken](ctx, c, path("organizations", organization, "join-tokens"), t)
}

// JoinNode makes a node; the client's token is a join token. The same again gives the same answer.
func (c *Client) JoinNode(ctx context.Context, j Join) (Joined, error) {
	return post[Joined](ctx, c, path("nodes"), j)
}

// FetchAuthority asks a server for the certificate of its own authority, which must have the given SHA-256, and returns it
// in PEM. Nothing is sent but the wish: whoever answers is not known yet. A client with that authority's certificate alone
// then checks the server's name and signature. Errors: pierhead.ErrUnreachable; ErrNotAllowed when the server does not show
// that certificate.
func FetchAuthority(ctx context.Context, serverURL string, sum []byte) ([]byte, error) {
	c, err := NewClient(ClientConfig{URL: serverURL})
	if err != nil {
		return nil, err
	}
	defer c.CloseIdle()
	var found []byte
	transport := c.http.Transport.(*http.Transport)
	transport.TLSClientConfig.InsecureSkipVerify = true // VerifyConnection looks, and nothing that came is believed but the hash
	transport.TLSClientConfig.VerifyConnection = func(state tls.ConnectionState) error {
		found = authorityOf(state.PeerCertificates, sum)
		return errShown
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	switch {
	case err == nil: // plain HTTP, or a redirect there
		_ = response.Body.Close()
		return nil, pierhead.NewProblem(pierhead.ErrNotAllowed, "the join token is of a server with TLS, and "+c.base+" speaks plain HTTP", "write https:// in --server")
	case !errors.Is(err, errShown):
		return nil, c.unreachable(ctx, err)
	case found == nil:
		return nil, pierhead.NewProblem(pierhead.ErrNotAllowed, c.base+" does not show the certificate that the join token names",
			"either the token was made by another server, or that server's authority was made anew, or somebody stands in between: make a new token with pier node token create, and compare")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: found}), nil
}

// errShown ends a handshake once the certificates were seen.
var errShown = errors.New("the certificates were seen")

func authorityOf(shown []*x509.Certificate, sum []byte) []byte {
	for _, certificate := range shown {
		if actual := sha256.Sum256(certificate.Raw); string(actual[:]) == string(sum) && certificate.IsCA {
			return certificate.Raw
		}
	}
	return nil
}
