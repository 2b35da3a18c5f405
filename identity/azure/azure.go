// Package azure is who this node is in Azure: the tokens that Entra gives to it, or to a service principal out of a secret.
// It is for the exchange of Azure's registries and for Key Vault.
//
// A node is, in this order, a workload identity (AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID), a service
// principal (AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH), or a managed
// identity (IDENTITY_ENDPOINT of App Service, else the metadata service; AZURE_CLIENT_ID picks a user-assigned one). Nothing is
// looked for before the first Token, so that a node off Azure starts and pulls at once.
package azure

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/sync/singleflight"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/secret"
)

const (
	wholeTime = 25 * time.Second // for one token, retries and all
	noneFor   = time.Minute      // how long "this node has no identity" is remembered
)

// Config is what an Identity is made of. The zero Config is what a node uses.
type Config struct {
	// Transport carries all requests, nil for the room's own: HTTPS_PROXY is honoured, but never for the metadata service.
	Transport http.RoundTripper
}

// An Identity asks for tokens in the node's name. It is safe for concurrent use.
type Identity struct {
	wire    wire
	flights singleflight.Group

	mu     sync.Mutex
	source source          // what was found; "" before the first look
	nodes  map[Cloud]actor // the node, in each cloud that it was asked for
	none   error           // why the last look found nothing
	until  time.Time       // that none is believed
}

// New makes an Identity, and does nothing else.
func New(config Config) *Identity {
	transport := config.Transport
	if transport == nil {
		transport = newTransport()
	}
	return &Identity{wire: wire{transport}, nodes: map[Cloud]actor{}}
}

// An Ask is for one token.
type Ask struct {
	Cloud  Cloud
	Scope  string // "https://containerregistry.azure.net/.default"
	Tenant string // of the resource, where it is known and may not be the identity's own, or ""
	// Principal asks for a token of a service principal instead of the node's own.
	Principal *ServicePrincipal
}

// A ServicePrincipal is an application with a client secret.
type ServicePrincipal struct {
	Tenant string // id or domain
	Client string // the application's (client) id
	Secret secret.Value
}

// key is the same for two asks that one answer serves.
func (a Ask) key() string {
	key := "token\n" + string(a.Cloud) + "\n" + a.Scope + "\n" + a.Tenant
	if p := a.Principal; p != nil {
		key += "\n" + credential.New(p.Client, string(p.Secret.Reveal()), time.Time{}, []string{p.Tenant}).ID()
	}
	return key
}

// A Token is an access token, and whom it stands for. It prints without the token.
type Token struct {
	Value   secret.Value
	Expires time.Time
	Who     Principal
}

// Token gets one; asks for the same token at the same time make one request. Errors are *Error: ErrNoIdentity when the node
// has none, or none that can be used; ErrRefused when Entra refuses it; ErrUnreachable when nobody answers, or throttles for
// longer than a pull can wait; and the context's own. No error contains a secret.
func (i *Identity) Token(ctx context.Context, ask Ask) (Token, error) {
	answer, err := i.once(ctx, ask.key(), func(ctx context.Context) (any, error) { return i.token(ctx, ask) })
	if err != nil {
		return Token{}, err
	}
	return answer.(Token), nil
}

// once has fn called once for all who ask for the same at the same time. Nobody's impatience ends it for the others.
func (i *Identity) once(ctx context.Context, key string, fn func(context.Context) (any, error)) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers := i.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wholeTime)
		defer cancel()
		return fn(ctx)
	})
	select {
	case answer := <-answers:
		return answer.Val, answer.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An actor is somebody who can ask for tokens.
type actor struct {
	source     source
	name       string // safe to print: "application 1234…", "the managed identity of this node"
	authority  string // host of the token server; "" for managed identities
	tenant     string // its own, an id or a domain; "" for managed identities
	secret     string // what is sent to prove it, to be hidden in answers; "" where nobody knows it
	credential azcore.TokenCredential
}

func (i *Identity) token(ctx context.Context, ask Ask) (Token, error) {
	who, err := i.actor(ctx, ask)
	if err != nil {
		return Token{}, err
	}
	ctx, trail := withTrail(ctx)
	got, err := who.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{ask.Scope}, TenantID: who.tenantFor(ask.Tenant)})
	if err != nil {
		err = explain(ctx, who, ask, trail)
		if ask.Principal == nil && errors.Is(err, ErrNoIdentity) {
			i.remember("", err)
		}
		return Token{}, err
	}
	return Token{Value: secret.NewValue([]byte(got.Token)), Expires: got.ExpiresOn, Who: principalOf(got.Token)}, nil
}

// tenantFor is the tenant to name in a request for what belongs to that one: none where that is, or may be, the actor's own
// under another name. The library compares the two letter by letter.
func (a actor) tenantFor(tenant string) string {
	if !IsID(a.tenant) || strings.EqualFold(a.tenant, tenant) {
		return ""
	}
	return tenant
}

func (i *Identity) actor(ctx context.Context, ask Ask) (actor, error) {
	if ask.Principal != nil {
		return i.ofPrincipal(ask.Cloud, ask.Principal)
	}
	found, err := i.look(ctx)
	if err != nil {
		return actor{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if who, ok := i.nodes[ask.Cloud]; ok {
		return who, nil
	}
	who, err := i.ofNode(ask.Cloud, found)
	if err == nil {
		i.nodes[ask.Cloud] = who
	}
	return who, err
}

// look says what the node is. What was found stays; that nothing was is believed for a minute.
func (i *Identity) look(ctx context.Context) (source, error) {
	i.mu.Lock()
	found, none, until := i.source, i.none, i.until
	i.mu.Unlock()
	switch {
	case found != "":
		return found, nil
	case none != nil && time.Now().Before(until):
		return "", none
	}
	answer, err := i.once(ctx, "look", func(ctx context.Context) (any, error) {
		found, err := i.wire.find(ctx)
		i.remember(found, err)
		return found, err
	})
	if err != nil {
		return "", err
	}
	return answer.(source), nil
}

func (i *Identity) remember(found source, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.source, i.none, i.until = found, err, time.Now().Add(noneFor)
	if found == "" {
		clear(i.nodes)
	}
}

// Do sends one request under the room's bounds; with it an Identity is the transport of Azure's libraries.
func (i *Identity) Do(r *http.Request) (*http.Response, error) { return i.wire.Do(r) }

// ClientOptions are what every client of Azure's libraries is made with: the room's transport, and retries with jitter
// that end well before a pull's patience.
func (i *Identity) ClientOptions() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: i.wire, Retry: policy.RetryOptions{
		MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 10 * time.Second,
		StatusCodes: []int{http.StatusRequestTimeout, http.StatusGone, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
	}}
}
