package vault

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// podToken is the service account's token that Kubernetes mounts into every pod.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// complete fills in what follows and refuses what cannot work.
func (c *Config) complete() error {
	needs := func(what string) error {
		return fmt.Errorf("logging in to Vault by %s needs %s", c.Auth, what)
	}
	switch c.Auth {
	case AuthToken:
		if (c.Token == "") == (c.TokenFile == "") {
			return needs("a token (VAULT_TOKEN) or a file with one (--vault-token-file, VAULT_TOKEN_FILE), and one of them only")
		}
	case AuthKubernetes:
		if c.JWTFile == "" {
			c.JWTFile = podToken
		}
		if c.Role == "" {
			return needs("a role: --vault-role")
		}
	case AuthJWT:
		if c.JWTFile == "" {
			return needs("a file with the token to log in with: --vault-jwt-file")
		}
	case AuthAppRole:
		if c.RoleID == "" {
			return needs("a role id: --vault-role-id")
		}
	case AuthAWS:
		if c.AWS == nil {
			return needs("an identity at Amazon, which this program has none of")
		}
	default:
		return errors.New("the way to log in to Vault is one of token, kubernetes, aws, approle and jwt: --vault-auth")
	}
	return nil
}

// loginBody is what the method's login takes.
func (c Config) loginBody(ctx context.Context) (map[string]any, error) {
	switch c.Auth {
	case AuthAppRole:
		body := map[string]any{"role_id": c.RoleID}
		if c.SecretIDFile == "" {
			return body, nil
		}
		id, err := readFile(c.SecretIDFile)
		body["secret_id"] = id
		return body, err
	case AuthAWS:
		return c.awsBody(ctx)
	}
	token, err := readFile(c.JWTFile)
	return map[string]any{"role": c.Role, "jwt": token}, err
}

// awsBody is a signed request that Vault sends on to STS to learn who signed it. The server's id among the signed headers
// keeps one Vault from using it at another.
func (c Config) awsBody(ctx context.Context) (map[string]any, error) {
	headers := http.Header{}
	if c.AWSServerID != "" {
		headers.Set("X-Vault-AWS-IAM-Server-ID", c.AWSServerID)
	}
	signed, err := c.AWS.SignedCallerIdentity(ctx, headers)
	if err != nil {
		return nil, &identityError{err}
	}
	reader, err := signed.GetBody()
	if err != nil {
		return nil, &identityError{err}
	}
	defer reader.Close()
	text, err := io.ReadAll(io.LimitReader(reader, maxFile))
	if err != nil {
		return nil, &identityError{err}
	}
	list, err := json.Marshal(signed.Header)
	if err != nil {
		return nil, &identityError{err}
	}
	body := map[string]any{
		"iam_http_request_method": signed.Method,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(signed.URL.String())),
		"iam_request_body":        base64.StdEncoding.EncodeToString(text),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(list),
	}
	if c.Role != "" {
		body["role"] = c.Role
	}
	return body, nil
}

// An identityError is a node without an identity at Amazon to log in with.
type identityError struct{ err error }

func (e *identityError) Error() string { return e.err.Error() }
func (e *identityError) Unwrap() error { return e.err }

// A loginError is a login that Vault did not take.
type loginError struct {
	err     error
	secrets []string // what was sent, and must not come back in a message
}

func (e *loginError) Error() string { return "login: " + e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }

func texts(body map[string]any) []string {
	var out []string
	for name, v := range body {
		if text, isText := v.(string); isText && name != "role" && text != "" {
			out = append(out, text)
		}
	}
	return out
}
