package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/internal/tokendir"
	"pierhead.dev/pierhead/secret"
)

// A file of workload identity federation says where a token lies, and to whom to send it: by addresses, commands and paths
// on this machine. In a secret it is the word of whoever wrote the secret, so nothing in it is taken on trust. The exchange
// happens at Google's own addresses, the token is a file below a directory that the node's operator listed, and every other
// source of it is refused. What the operator himself gives to the node (GOOGLE_APPLICATION_CREDENTIALS) has no such limits.

const toTheNode = "; give the file to the node instead, as GOOGLE_APPLICATION_CREDENTIALS, and let the registry use the node's identity"

var (
	// knownFields are those of gcloud iam workload-identity-pools create-cred-config. token_info_url and quota_project_id
	// are for gcloud's own use and are never looked at.
	knownFields = []string{"type", "audience", "subject_token_type", "token_url", "token_info_url", "service_account_impersonation_url", "service_account_impersonation",
		"client_id", "client_secret", "quota_project_id", "workforce_pool_user_project", "universe_domain", "credential_source"}
	subjectTypes = []string{"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:saml2"}
	// sources are the ways to a token that are refused, and why.
	sources = []struct{ field, reason string }{
		{"executable", "is a command, and a secret does not start programs on a node"},
		{"url", "is an address that the secret chooses, and the node asks nobody for it"},
		{"certificate", "is a certificate of the node's, which a secret does not lend out"},
		{"environment_id", "is the node's own role at AWS, which a secret does not lend out"},
	}
)

// parseFederation reads an external_account file as hostile text.
func (e *Exchanger) parseFederation(fields map[string]json.RawMessage) (google.Federation, error) {
	var none google.Federation
	for name := range fields {
		if !slices.Contains(knownFields, name) {
			return none, content("the external_account in the secret has a key that none has", "make the file with gcloud iam workload-identity-pools create-cred-config")
		}
	}
	v, err := texts(fields, "audience", "subject_token_type", "token_url", "service_account_impersonation_url", "client_id", "client_secret", "workforce_pool_user_project", "universe_domain")
	if err != nil {
		return none, err
	}
	if err := universe(v["universe_domain"]); err != nil {
		return none, err
	}
	target, standsIn := google.ImpersonationTarget(v["service_account_impersonation_url"])
	switch {
	case v["token_url"] != "" && v["token_url"] != google.STSURL:
		return none, content("token_url of the external_account in the secret is not "+google.STSURL+": nothing is sent", "write that address; a secret does not choose who gets the node's token"+toTheNode)
	case v["service_account_impersonation_url"] != "" && !standsIn:
		return none, content("service_account_impersonation_url of the external_account in the secret is none of Google's: nothing is sent",
			"it is https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken"+toTheNode)
	case !google.IsAudience(v["audience"]):
		return none, content("audience of the external_account in the secret names no provider of a workload identity pool", "it is //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER")
	case !slices.Contains(subjectTypes, v["subject_token_type"]) && v["subject_token_type"] != awsSubject:
		return none, content("subject_token_type of the external_account in the secret is none that is known", "it is urn:ietf:params:oauth:token-type:jwt, mostly")
	}
	lifetime, err := lifetimeOf(fields)
	if err != nil {
		return none, err
	}
	subject, err := e.subjectOf(fields)
	if err != nil {
		return none, err
	}
	return google.Federation{Audience: v["audience"], SubjectTokenType: v["subject_token_type"], SubjectToken: subject, Impersonate: target, Lifetime: lifetime,
		ClientID: v["client_id"], ClientSecret: secret.NewValue([]byte(v["client_secret"])), UserProject: v["workforce_pool_user_project"]}, nil
}

// awsSubject is a signed request of AWS's; it is refused by its source.
const awsSubject = "urn:ietf:params:aws:token-type:aws4_request"

// object reads a member that is an object of known members; nil where there is none.
func object(fields map[string]json.RawMessage, name string, known ...string) (map[string]json.RawMessage, error) {
	field, there := fields[name]
	if !there {
		return nil, nil
	}
	inner, err := exchange.Fields(secret.NewValue(field))
	if err != nil {
		return nil, content(name+" in the secret is not what was expected", expected)
	}
	for key := range inner {
		if !slices.Contains(known, key) {
			return nil, content(name+" in the secret has a key that none has", expected)
		}
	}
	return inner, nil
}

func lifetimeOf(fields map[string]json.RawMessage) (time.Duration, error) {
	inner, err := object(fields, "service_account_impersonation", "token_lifetime_seconds")
	if err != nil || inner == nil {
		return 0, err
	}
	var seconds int
	if json.Unmarshal(inner["token_lifetime_seconds"], &seconds) != nil || seconds < 600 || seconds > 43200 {
		return 0, content("token_lifetime_seconds in the secret is not between 600 and 43200", "leave it out: an hour is the rule")
	}
	return time.Duration(seconds) * time.Second, nil
}

// subjectOf tells how the token is read; nothing is read yet.
func (e *Exchanger) subjectOf(fields map[string]json.RawMessage) (func(context.Context) (string, error), error) {
	inner, err := object(fields, "credential_source", "file", "format", "url", "headers", "executable", "certificate",
		"environment_id", "region_url", "regional_cred_verification_url", "imdsv2_session_token_url")
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if _, there := inner[s.field]; there {
			return nil, content("credential_source of the external_account in the secret has "+s.field+", which "+s.reason, "use a file below one of the node's --token-dir"+toTheNode)
		}
	}
	name, err := text(inner, "file")
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, content("credential_source of the external_account in the secret has no file", "name the file with the node's token, below one of its --token-dir")
	}
	format, err := object(inner, "format", "type", "subject_token_field_name")
	if err != nil {
		return nil, err
	}
	form, err := texts(format, "type", "subject_token_field_name")
	if err != nil {
		return nil, err
	}
	if t := form["type"]; t != "" && t != "text" && t != "json" || (t == "json") != (form["subject_token_field_name"] != "") {
		return nil, content("format in the secret is neither text, nor json with a subject_token_field_name", "leave it out where the file is the token and nothing else")
	}
	return func(context.Context) (string, error) { return e.readSubject(name, form["subject_token_field_name"]) }, nil
}

// readSubject reads the node's token. Neither the file's name nor its content is told: both are the secret's.
func (e *Exchanger) readSubject(name, field string) (string, error) {
	content, err := e.config.TokenDirs.Read(name)
	switch {
	case errors.Is(err, tokendir.ErrOutside):
		return "", &exchange.Error{Kind: exchange.ErrContent, Text: "the external_account in the secret names a file that is not below any directory of tokens on this node",
			Hint: "the node's operator lists such directories with --token-dir (PIER_TOKEN_DIRS); links in them must be relative and stay inside"}
	case errors.Is(err, tokendir.ErrAbsent):
		return "", &exchange.Error{Kind: exchange.ErrNoIdentity, Text: "this node has no token at the place that the external_account in the secret names",
			Hint: "whoever runs the node lets its platform put one there (Kubernetes: a projected service account token)"}
	case err != nil:
		return "", &exchange.Error{Kind: exchange.ErrNoIdentity, Text: "the token that the external_account in the secret names: " + err.Error(), Hint: "whoever runs the node looks at that file"}
	}
	if field == "" {
		return string(content), nil
	}
	if fields, err := exchange.Fields(secret.NewValue(content)); err == nil {
		if token, err := text(fields, field); err == nil && token != "" {
			return token, nil
		}
	}
	return "", &exchange.Error{Kind: exchange.ErrContent, Text: "the token's file is not JSON with the subject_token_field_name of the secret", Hint: "compare format in the secret with the file on the node"}
}
