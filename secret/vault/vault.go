// Package vault is the secret source of HashiCorp Vault, and of OpenBao, which speaks the same: "vault:MOUNT/PATH" is a
// secret of a KV engine, version 1 or 2, as `vault kv get` names it. MOUNT may have slashes in it. "?version=N" names a
// version of KV 2, "#FIELD" one field. Without FIELD the content is the whole data object as JSON, so a secret with the
// fields username, password and server is a login; with it, that field's text.
//
// Which Vault it is, its namespace, its CA and how this node logs in are the operator's to say, in Config; no reference has
// an address in it. Nothing is kept but Vault's own token, which is renewed before it ends; where it cannot be renewed, or
// Vault no longer takes it, the node logs in again.
package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"pierhead.dev/pierhead/secret"
)

// The ways to log in.
const (
	AuthToken      = "token"
	AuthKubernetes = "kubernetes"
	AuthAWS        = "aws"
	AuthAppRole    = "approle"
	AuthJWT        = "jwt"
)

// A CallerIdentity signs who this node is at Amazon, for Vault to ask there: identity/amazon does.
type CallerIdentity interface {
	// SignedCallerIdentity is a POST of sts:GetCallerIdentity, signed, with these headers among those that are signed; it
	// has a GetBody. The error is for people and has no secret in it.
	SignedCallerIdentity(ctx context.Context, headers http.Header) (*http.Request, error)
}

// Config is what the operator says of Vault. The zero Config is no Vault.
type Config struct {
	Address   string // "https://vault.example.com:8200"; "" is no Vault
	Namespace string // Vault Enterprise's and OpenBao's, or ""
	CACert    string // file with PEM certificates, added to the system's roots, or ""

	Auth      string // how to log in, one of Auth…; "" is AuthToken
	AuthMount string // where the method is mounted, below auth/; "" is its own name
	Role      string // kubernetes, aws, jwt: the role to log in as

	Token        string // token: the token itself, or
	TokenFile    string // token: a file with it, read anew each time
	JWTFile      string // jwt and kubernetes: the file with the token to log in with, read anew; kubernetes: the pod's own where ""
	RoleID       string // approle
	SecretIDFile string // approle: a file with the secret id, read anew; "" where the role needs none

	AWS         CallerIdentity // aws
	AWSServerID string         // aws: the value of X-Vault-AWS-IAM-Server-ID that the method wants signed, or ""

	Within time.Duration    // bound of one Get, tries and logins together; 0: 20 s
	Now    func() time.Time // nil: time.Now
}

// A Source reads secrets of one Vault. It is safe for concurrent use.
type Source struct {
	config Config
	host   string // of Address, for errors
	http   *http.Client

	gate    chan struct{} // holds one token: who has it may change current
	current *session
}

// New makes a Source; it asks nobody yet. The error says which part of the configuration cannot be right.
func New(c Config) (*Source, error) {
	s := &Source{config: c, gate: make(chan struct{}, 1)}
	if c.Address == "" {
		return s, nil
	}
	if s.config.Auth == "" {
		s.config.Auth = AuthToken
	}
	if s.config.AuthMount == "" {
		s.config.AuthMount = s.config.Auth
	}
	if s.config.Within == 0 {
		s.config.Within = 20 * time.Second
	}
	if s.config.Now == nil {
		s.config.Now = time.Now
	}
	address, err := url.Parse(c.Address)
	if err != nil || (address.Scheme != "https" && address.Scheme != "http") || address.Host == "" || address.User != nil {
		return nil, errors.New("the address of Vault is not one like https://vault.example.com:8200")
	}
	s.host = address.Host
	if err := s.config.complete(); err != nil {
		return nil, err
	}
	if s.http, err = newHTTP(c.CACert); err != nil {
		return nil, err
	}
	_, err = s.client("")
	return s, err
}

// Get reads the secret. Errors: secret.ErrRef when the reference is none of this source's; ErrUnknownScheme when no Vault
// is configured; ErrNotFound when there is no such mount, path, version or field, or the version was deleted or destroyed;
// ErrNotAllowed when Vault does not let this node log in or read it; ErrUnreachable when Vault does not answer, is sealed,
// a standby or throttling; ErrContent when the content is empty or too long.
func (s *Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	p, err := parse(ref)
	if err != nil {
		return secret.Value{}, err
	}
	a, err := s.read(ctx, ref, p)
	if err != nil {
		return secret.Value{}, err
	}
	return a.value(ref, p)
}

// Previous reads the version before the newest one of a KV 2 secret. Errors: as for Get; secret.ErrNotFound when there is
// none, the engine keeps none, or the reference names a version.
func (s *Source) Previous(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	p, err := parse(ref)
	if err != nil {
		return secret.Value{}, err
	}
	none := func(why string) error { return &secret.Error{Kind: secret.ErrNotFound, Ref: ref, Text: why} }
	if p.version > 0 {
		return secret.Value{}, none("the reference names one version, which has none before it")
	}
	a, err := s.read(ctx, ref, p)
	if err != nil && a.version == 0 {
		return secret.Value{}, err
	}
	if a.version <= 1 {
		return secret.Value{}, none("Vault keeps no version before this one")
	}
	p.version = a.version - 1
	if a, err = s.read(ctx, ref, p); err != nil {
		return secret.Value{}, err
	}
	return a.value(ref, p)
}

// read asks with the token there is, and once more with another one where Vault says no.
func (s *Source) read(ctx context.Context, ref secret.Ref, p place) (answer, error) {
	if s.config.Address == "" {
		return answer{}, &secret.Error{Kind: secret.ErrUnknownScheme, Ref: ref, Text: "no Vault is configured on this node",
			Hint: "the operator starts the agent with --vault-addr (VAULT_ADDR) and a way to log in (--vault-auth)"}
	}
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	bounded, cancel := context.WithTimeout(ctx, s.config.Within)
	defer cancel()
	a, err := s.readWith(bounded, p, nil)
	if err == nil {
		return a, nil
	}
	if ctx.Err() != nil {
		return answer{}, fmt.Errorf("secret %s: %w", ref, ctx.Err())
	}
	return a, s.explain(ref, p, a, err)
}

// readWith reads; refused is the session that Vault said no to before.
func (s *Source) readWith(ctx context.Context, p place, refused *session) (answer, error) {
	session, err := s.session(ctx, refused)
	if err != nil {
		return answer{}, err
	}
	a, err := look(ctx, session.client, p)
	if refused == nil && status(err) == http.StatusForbidden && session.another(s.config) {
		return s.readWith(ctx, p, session)
	}
	if status(err) == http.StatusForbidden && !session.lives(ctx) {
		err = errDead
	}
	return a, err
}

// client makes a client with a token, or without one.
func (s *Source) client(token string) (*api.Client, error) {
	c, err := api.NewClient(&api.Config{Address: s.config.Address, HttpClient: s.http, MaxRetries: 2, MinRetryWait: 50 * time.Millisecond, MaxRetryWait: 500 * time.Millisecond, DisableRedirects: true})
	if err != nil {
		return nil, errors.New("the environment has settings of Vault that its client does not understand (VAULT_…)")
	}
	c.ClearNamespace() // the environment's own; what counts here comes by Config
	if s.config.Namespace != "" {
		c.SetNamespace(s.config.Namespace)
	}
	c.SetToken(token)
	return c, nil
}

// status is the HTTP status in an error of Vault's client, or 0.
func status(err error) int {
	var answered *api.ResponseError
	if errors.As(err, &answered) {
		return answered.StatusCode
	}
	return 0
}

func query(version int) url.Values {
	if version == 0 {
		return nil
	}
	return url.Values{"version": {strconv.Itoa(version)}}
}
