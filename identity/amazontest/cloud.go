// Package amazontest is Amazon for tests: an honest fake of the services that Pierhead asks there.
//
// It refuses what the real ones refuse. Signatures (SigV4) are verified by code of its own, which is anchored on AWS's
// public vectors: key, scope, skew, session token, signed headers. IMDS answers nothing without a session token (IMDSv2)
// and not over too many hops; roles have trust policies and external IDs; web identities are verified by JWKS; every call
// needs a permission. What comes out of ECR is a password that a test's registry asks back with Password.
//
// The services are http.Handlers by host name (Handler), for tests that resolve Amazon's real names to them, and a
// RoundTripper (Transport) for tests that never leave the process, so that time can be testing/synctest's.
package amazontest

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// A Cloud is all of Amazon: every partition, account and region. The zero value is not usable; see New.
type Cloud struct {
	mu           sync.Mutex
	clock        func() time.Time
	keys         map[string]*Key // by access key id
	roles        map[string]*Principal
	issuers      map[string]*Issuer
	passwords    map[string]*password
	publicTokens map[string]time.Time   // of ECR Public's token server: until when they are good
	repos        map[string]*repository // by ARN
	secrets      map[string]*Secret     // by ARN
	containers   map[string]*Principal  // ECS: by path
	pods         map[string]*Principal  // EKS: by "issuer subject"
	instance     *Instance
	private      http.Handler // the registries behind ECR's hosts
	public       http.Handler
	faults       map[string]*Fault
	calls        map[string]int
	lastOf       map[string]Call
	made         []string
}

// New makes an empty cloud without accounts, keys or an instance.
func New() *Cloud {
	return &Cloud{
		clock: time.Now, keys: map[string]*Key{}, roles: map[string]*Principal{}, issuers: map[string]*Issuer{},
		passwords: map[string]*password{}, publicTokens: map[string]time.Time{}, repos: map[string]*repository{}, secrets: map[string]*Secret{},
		containers: map[string]*Principal{}, pods: map[string]*Principal{},
		faults: map[string]*Fault{}, calls: map[string]int{}, lastOf: map[string]Call{},
	}
}

// SetClock sets the cloud's clock; a node whose clock differs from it by more than 15 minutes signs in vain.
func (c *Cloud) SetClock(now func() time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = now
}

func (c *Cloud) now() time.Time { return c.clock() }

// A Principal is a user or a role, with what it may do.
type Principal struct {
	cloud   *Cloud
	ARN     string
	grants  []grant
	trust   *Trust // roles
	longest time.Duration
}

type grant struct{ action, resource string }

// Trust is who may assume a role.
type Trust struct {
	Principals []string // ARNs of users and roles, or arn:aws:iam::ACCOUNT:root
	ExternalID string   // required where it is not empty

	Issuer, Audience, Subject string // for web identities
}

// User makes an IAM user; partition is "aws", "aws-cn", …
func (c *Cloud) User(partition, account, name string) *Principal {
	return &Principal{cloud: c, ARN: fmt.Sprintf("arn:%s:iam::%s:user/%s", partition, account, name)}
}

// Role makes an IAM role whose sessions last at most an hour.
func (c *Cloud) Role(partition, account, name string, trust Trust) *Principal {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &Principal{cloud: c, ARN: fmt.Sprintf("arn:%s:iam::%s:role/%s", partition, account, name), trust: &trust, longest: time.Hour}
	c.roles[p.ARN] = p
	return p
}

// Allow gives an identity policy: action and resource may have "*" in them.
func (p *Principal) Allow(action, resource string) *Principal {
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	p.grants = append(p.grants, grant{action, resource})
	return p
}

// Deny takes every policy away.
func (p *Principal) Deny() {
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	p.grants = nil
}

func (p *Principal) account() string   { return strings.Split(p.ARN, ":")[4] }
func (p *Principal) partition() string { return strings.Split(p.ARN, ":")[1] }

func (p *Principal) may(action, resource string) bool {
	for _, g := range p.grants {
		if glob(g.action, action) && glob(g.resource, resource) {
			return true
		}
	}
	return false
}

// glob matches "*" against anything, slashes and colons too.
func glob(pattern, text string) bool {
	ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
	return ok
}

// A Key is an access key, long-lived or of a session.
type Key struct {
	ID, Secret, Token string
	Expires           time.Time // zero: never

	by      *Principal
	arn     string // of the caller; for sessions another than that of the role
	chained bool   // the session of an assumed role
	ended   bool
}

// AccessKey makes a long-lived access key of a user.
func (c *Cloud) AccessKey(of *Principal) *Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key("AKIA", of, of.ARN)
}

// Session makes a session of a role without asking STS.
func (c *Cloud) Session(of *Principal, name string, life time.Duration) *Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session(of, name, life)
}

// End makes a key worthless: deleted, or its session revoked.
func (c *Cloud) End(k *Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.ended = true
}

func (c *Cloud) key(prefix string, of *Principal, arn string) *Key {
	k := &Key{ID: prefix + random(base32.StdEncoding, 10), Secret: random(base64.StdEncoding, 30), by: of, arn: arn}
	c.keys[k.ID] = k
	c.made = append(c.made, k.Secret)
	return k
}

func (c *Cloud) session(of *Principal, name string, life time.Duration) *Key {
	role := of.ARN[strings.LastIndex(of.ARN, "/")+1:]
	k := c.key("ASIA", of, fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", of.partition(), of.account(), role, name))
	k.Token = "IQoJ" + random(base64.StdEncoding, 300)
	k.Expires = c.now().Add(life).Truncate(time.Second)
	c.made = append(c.made, k.Token)
	return k
}

func random(e interface{ EncodeToString([]byte) string }, bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return e.EncodeToString(b)
}

// Secrets lists every secret that this cloud ever made or was given: what must be in no log, error or database.
func (c *Cloud) Secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.made...)
}

// A Call is the last one of an operation.
type Call struct {
	Host      string // as the client named it
	Principal string
	Session   string // of sts:AssumeRole
}

// Count is how often an operation was called, as in "ecr:GetAuthorizationToken" or "imds:Token", faults included.
func (c *Cloud) Count(operation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[operation]
}

// Last is the last call of an operation.
func (c *Cloud) Last(operation string) Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastOf[operation]
}
