package amazontest

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

func secretText(bytes int) string {
	return strings.ToLower(random(base32.HexEncoding.WithPadding(base32.NoPadding), bytes))
}

func (c *Cloud) record(operation string, call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[operation]++
	c.lastOf[operation] = call
}

// An operation answers one call of a service that speaks JSON.
type operation func(k *Key, at place, body []byte) (any, *apiError)

// jsonService speaks AWS JSON 1.1: the operation in a header, errors with __type.
func (c *Cloud) jsonService(service string, at place, operations map[string]operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		_, name, _ := strings.Cut(target, ".")
		answer := operations[target]
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil || answer == nil || r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			writeJSONError(w, &apiError{http.StatusBadRequest, "UnknownOperationException", ""})
			return
		}
		k, refused := c.verify(r, body, service, at.region, at.partition)
		call := Call{Host: r.Host}
		if k != nil {
			call.Principal = k.arn
		}
		c.record(service+":"+name, call)
		done, fault := c.fault(service+":"+name).suffer(w, r)
		var result any
		switch {
		case done:
			return
		case fault != nil:
			refused = fault
		case refused == nil:
			result, refused = answer(k, at, body)
		}
		if refused != nil {
			writeJSONError(w, refused)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(result)
	})
}

func writeJSONError(w http.ResponseWriter, e *apiError) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.Header().Set("X-Amzn-Errortype", e.code+":http://internal.amazon.com/coral/")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazon.coral.service#" + e.code, "message": e.message})
}

func denied(k *Key, action, resource string) *apiError {
	return &apiError{http.StatusBadRequest, "AccessDeniedException",
		fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", k.arn, action, resource, action)}
}

// A password is what GetAuthorizationToken gave.
type password struct {
	by      *Key
	at      place
	public  bool
	expires time.Time
}

// tokenLife is how long a registry's password is good.
const tokenLife = 12 * time.Hour

func (c *Cloud) newPassword(k *Key, at place, public bool) (text string, expires time.Time) {
	// The real one is the base64 of a JSON document of about that size.
	text = "eyJwYXlsb2FkIjoi" + random(base64.RawStdEncoding, 900)
	expires = c.now().Add(tokenLife).Truncate(time.Second)
	c.passwords[text] = &password{by: k, at: at, public: public, expires: expires}
	c.made = append(c.made, text, base64.StdEncoding.EncodeToString([]byte("AWS:"+text)))
	return text, expires
}

type authorizationData struct {
	AuthorizationToken string  `json:"authorizationToken"`
	ExpiresAt          float64 `json:"expiresAt"`
	ProxyEndpoint      string  `json:"proxyEndpoint,omitempty"`
}

func (c *Cloud) getAuthorizationToken(k *Key, at place, _ []byte) (any, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !k.by.may("ecr:GetAuthorizationToken", "*") {
		return nil, denied(k, "ecr:GetAuthorizationToken", "*")
	}
	text, expires := c.newPassword(k, at, false)
	return map[string][]authorizationData{"authorizationData": {{base64.StdEncoding.EncodeToString([]byte("AWS:" + text)), float64(expires.Unix()),
		fmt.Sprintf("https://%s.dkr.ecr.%s.%s", k.by.account(), at.region, at.suffix)}}}, nil
}

// getPublicToken answers with an object where the private registries' answer is a list.
func (c *Cloud) getPublicToken(k *Key, at place, _ []byte) (any, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, action := range []string{"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"} {
		if !k.by.may(action, "*") {
			return nil, denied(k, action, "*")
		}
	}
	text, expires := c.newPassword(k, at, true)
	return map[string]authorizationData{"authorizationData": {AuthorizationToken: base64.StdEncoding.EncodeToString([]byte("AWS:" + text)), ExpiresAt: float64(expires.Unix())}}, nil
}

// Password tells whether a registry takes a password, from the user AWS: whose it is and until when.
func (c *Cloud) Password(text string) (principal string, expires time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.passwords[text]
	if p == nil || !c.now().Before(p.expires) {
		return "", time.Time{}, false
	}
	return p.by.arn, p.expires, true
}

// Revoke makes a password worthless before its time.
func (c *Cloud) Revoke(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.passwords, text)
}

// Expire ends the time of a password, or of all tokens of ECR Public's where the text is "".
func (c *Cloud) Expire(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text == "" {
		clear(c.publicTokens)
	} else if p := c.passwords[text]; p != nil {
		p.expires = c.now()
	}
}

// A repository is one that was made; readers are the principals of its policy.
type repository struct{ readers []string }

// Repository makes a repository whose policy lets the principals read.
func (c *Cloud) Repository(arn string, readers ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repos[arn] = &repository{readers: readers}
}

// HasRepository tells whether there is one.
func (c *Cloud) HasRepository(arn string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.repos[arn] != nil
}

var repositoryName = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func (c *Cloud) createRepository(k *Key, at place, body []byte) (any, *apiError) {
	var in struct{ RepositoryName, RegistryID string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &apiError{http.StatusBadRequest, "SerializationException", ""}
	}
	account := in.RegistryID
	if account == "" {
		account = k.by.account()
	}
	arn := fmt.Sprintf("arn:%s:ecr:%s:%s:repository/%s", at.partition, at.region, account, in.RepositoryName)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(in.RepositoryName) < 2 || len(in.RepositoryName) > 256 || !repositoryName.MatchString(in.RepositoryName):
		return nil, &apiError{http.StatusBadRequest, "InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression'"}
	case !k.by.may("ecr:CreateRepository", arn) || account != k.by.account():
		return nil, denied(k, "ecr:CreateRepository", arn)
	case c.repos[arn] != nil:
		return nil, &apiError{http.StatusBadRequest, "RepositoryAlreadyExistsException",
			fmt.Sprintf("The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName, account)}
	}
	c.repos[arn] = &repository{}
	return map[string]any{"repository": map[string]string{"repositoryArn": arn, "repositoryName": in.RepositoryName, "registryId": account}}, nil
}
