package jfrog

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/tokendir"
)

// federated exchanges the node's OIDC token for an access token.
func (e *Exchanger) federated(ctx context.Context, r exchange.Request, fields map[string]json.RawMessage) (credential.Credential, error) {
	values, err := exchange.Texts(fields, "the secret", "oidc_provider", "audience", "project_key", "identity_mapping_name", "server", "url")
	if err != nil {
		return credential.Credential{}, err
	}
	if values["oidc_provider"] == "" {
		return credential.Credential{}, content(`"oidc_provider" in the secret is empty`, "write the name of the OIDC integration as JFrog's administration has it")
	}
	if err := isFor(r, fields); err != nil {
		return credential.Credential{}, err
	}
	base, err := baseOf(r, values["url"])
	if err != nil {
		return credential.Credential{}, err
	}
	token, err := e.ownToken(r.Host)
	if err != nil {
		return credential.Credential{}, err
	}
	// The names of the fields are those of JFrog's own client (jfrog-client-go, access/services).
	body := map[string]string{
		"grant_type":         "urn:ietf:params:oauth:grant-type:token-exchange",
		"subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
		"subject_token":      token,
		"provider_name":      values["oidc_provider"],
	}
	for _, optional := range []string{"audience", "project_key", "identity_mapping_name"} {
		if values[optional] != "" {
			body[optional] = values[optional]
		}
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return credential.Credential{}, content("the OIDC token of this node is no text", "the operator looks at what writes it")
	}
	began := e.config.Now()
	reply, err := e.ask(ctx, call{out: r.Out, url: base.JoinPath("/access/api/v1/oidc/token"), contentType: "application/json", body: encoded, secrets: []string{token},
		what: "exchange the OIDC token of this node", refused: oidcHint(values["oidc_provider"])})
	if err != nil {
		return credential.Credential{}, err
	}
	username := reply.Username
	if username == "" {
		username = userOf(claimsOf(reply.AccessToken).Subject)
	}
	return reply.login(r.Host, username, began)
}

func oidcHint(provider string) string {
	return "a platform admin of JFrog looks at the OIDC integration " + provider + ": its issuer and audience must be the token's, and an identity mapping must fit its claims"
}

// ownToken reads the node's token for a host, from the file that the operator named after it.
func (e *Exchanger) ownToken(host string) (string, error) {
	names := []string{strings.ReplaceAll(host, ":", "_")}
	if image.VendorOf(host) == image.VendorJFrog {
		names = append(names, "jfrog")
	}
	for _, name := range names {
		for _, dir := range e.config.TokenDirs {
			token, err := e.config.TokenDirs.Read(filepath.Join(dir, name))
			switch {
			case err == nil:
				return string(token), nil
			case errors.Is(err, tokendir.ErrUnusable):
				return "", noToken("the OIDC token of this node in "+filepath.Join(dir, name)+" cannot be used: "+err.Error(), names)
			}
		}
	}
	return "", noToken("this node has no OIDC token for "+host, names)
}

func noToken(text string, names []string) error {
	return &exchange.Error{Kind: exchange.ErrNoIdentity, Text: text,
		Hint: "the operator lets the platform write one to a file named " + strings.Join(names, " or ") + ", in a directory that the agent was started with: --token-dir DIR"}
}
