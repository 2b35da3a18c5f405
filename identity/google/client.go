package google

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials/externalaccount"
	"cloud.google.com/go/auth/credentials/impersonate"
	"pierhead.dev/pierhead/secret"
)

// TokenURL is where a service account's key becomes a token.
const TokenURL = "https://oauth2.googleapis.com/token"

// STSURL is where a federated token becomes one of Google's.
const STSURL = "https://sts.googleapis.com/v1/token"

// A Client asks Google for tokens. Every request has a bound on its time, its tries and its answer's size; no redirect is
// followed; a proxy of the environment (HTTPS_PROXY) is used, but not to the metadata server.
type Client struct {
	http     *http.Client // Google's APIs, by their names
	metadata *http.Client // this machine's metadata server
}

// NewClient makes a Client that asks nobody yet. All requests leave through transport where there is one, for tests; nil
// is the machine's own network.
func NewClient(transport http.RoundTripper) *Client {
	apis, metadata := transport, transport
	if transport == nil {
		apis, metadata = newTransport(true), newTransport(false)
	}
	return &Client{
		http:     &http.Client{Transport: &wire{next: apis}},
		metadata: &http.Client{Transport: &wire{next: metadata, flavor: true}},
	}
}

func newTransport(proxy bool) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
		MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
	if proxy {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if address, err := netip.ParseAddr(r.URL.Hostname()); err == nil && address.IsLinkLocalUnicast() {
				return nil, nil // a metadata service, which an external_account may name: no proxy stands on this link
			}
			return http.ProxyFromEnvironment(r)
		}
	}
	return t
}

// A Key is a service account's key.
type Key struct {
	Email string       // of the service account; it has passed IsServiceAccount
	ID    string       // of the key
	PEM   secret.Value // the private key
}

// KeyToken makes a token with a service account's key: a signed assertion is sent to TokenURL, never the key. Errors, as
// *Error: ErrRefused, ErrUnreachable; ctx's own when it ended.
func (c *Client) KeyToken(ctx context.Context, key Key) (Token, error) {
	provider, err := auth.New2LOTokenProvider(&auth.Options2LO{Email: key.Email, PrivateKey: key.PEM.Reveal(), PrivateKeyID: key.ID,
		Scopes: []string{scope}, TokenURL: TokenURL, Client: c.http, Logger: silent()})
	if err != nil {
		return Token{}, &Error{Kind: ErrRefused, Text: "the key of " + key.Email + " is not complete"}
	}
	return ask(ctx, provider, request{what: "the key of " + key.Email, host: "oauth2.googleapis.com", principal: key.Email, hint: keyHint})
}

// A Federation is a workload's identity elsewhere, which a workload identity pool of Google's takes.
type Federation struct {
	Audience         string // "//iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
	SubjectTokenType string
	SubjectToken     func(context.Context) (string, error) // read anew for each exchange; its error is passed on as it is
	Impersonate      string                                // e-mail of the service account that the pool stands in for, or ""
	Lifetime         time.Duration                         // of the token made by that, 0 for an hour
	ClientID         string
	ClientSecret     secret.Value
	UserProject      string // of a workforce pool
}

// FederatedToken exchanges a subject token at STSURL, and then for the service account's where there is one. Errors, as
// *Error: ErrRefused, ErrUnreachable; SubjectToken's; ctx's own when it ended.
func (c *Client) FederatedToken(ctx context.Context, f Federation) (Token, error) {
	source := &subject{get: f.SubjectToken}
	credentials, err := externalaccount.NewCredentials(&externalaccount.Options{
		Audience: f.Audience, SubjectTokenType: f.SubjectTokenType, TokenURL: STSURL, SubjectTokenProvider: source,
		ClientID: f.ClientID, ClientSecret: string(f.ClientSecret.Reveal()), WorkforcePoolUserProject: f.UserProject,
		Scopes: []string{scope}, Client: c.http, Logger: silent()})
	if err != nil {
		return Token{}, &Error{Kind: ErrRefused, Text: "the external_account is not complete: audience and subject_token_type are needed"}
	}
	token, err := ask(ctx, credentials, request{what: "the federated token for " + PoolOf(f.Audience), host: "sts.googleapis.com",
		principal: PoolOf(f.Audience), hint: stsHint})
	if source.err != nil {
		return Token{}, source.err
	}
	if err != nil || f.Impersonate == "" {
		return token, err
	}
	return c.impersonate(ctx, token, f.Impersonate, f.Lifetime)
}

// subject keeps the error of its own source apart from those of the exchange.
type subject struct {
	get func(context.Context) (string, error)
	err error
}

func (s *subject) SubjectToken(ctx context.Context, _ *externalaccount.RequestOptions) (string, error) {
	var token string
	token, s.err = s.get(ctx)
	return token, s.err
}

// Impersonate makes a token of the service account email, which source's principal must be allowed to stand in for.
// Errors, as *Error: ErrRefused, ErrUnreachable; ctx's own when it ended.
func (c *Client) Impersonate(ctx context.Context, source Token, email string) (Token, error) {
	return c.impersonate(ctx, source, email, 0)
}

func (c *Client) impersonate(ctx context.Context, source Token, email string, lifetime time.Duration) (Token, error) {
	const host = "iamcredentials.googleapis.com"
	client := &http.Client{Transport: &bearer{host: host, token: func(context.Context) (Token, error) { return source, nil }, next: c.http.Transport}}
	credentials, err := impersonate.NewCredentials(&impersonate.CredentialsOptions{TargetPrincipal: email, Scopes: []string{scope},
		Lifetime: lifetime, Client: client, Logger: silent()})
	if err != nil {
		return Token{}, &Error{Kind: ErrRefused, Text: "a token for " + email + " cannot be asked for", Hint: "a token's lifetime is at most 12 hours"}
	}
	who := source.Principal
	if who == "" {
		who = "the owner of the access token given"
	}
	return ask(ctx, credentials, request{what: who + " standing in for " + email, host: host, principal: email,
		hint: func(a *Answer) string { return impersonateHint(a, who, email) }})
}

// A request is one question to Google, as errors tell it.
type request struct {
	what      string // in whose name
	host      string
	principal string // of the token that comes
	hint      func(*Answer) string
	file      string // GOOGLE_APPLICATION_CREDENTIALS, where that says how to get the token; "" otherwise
}

// ask gets one token from a library's provider.
func ask(ctx context.Context, provider auth.TokenProvider, r request) (Token, error) {
	token, err := provider.Token(ctx)
	switch {
	case err != nil:
		return Token{}, explain(ctx, r, err)
	case token == nil || token.Value == "":
		return Token{}, explain(ctx, r, errNoToken)
	case !token.Expiry.IsZero() && !token.Expiry.After(time.Now()):
		return Token{}, explain(ctx, r, errEnded)
	}
	return Token{Value: secret.NewValue([]byte(token.Value)), Expires: token.Expiry, Principal: r.principal}, nil
}
