package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"cloud.google.com/go/auth/credentials"
)

// credentialsFile is what the operator set.
func credentialsFile() string { return os.Getenv("GOOGLE_APPLICATION_CREDENTIALS") }

// longestFile is more than any form of credentials needs.
const longestFile = 64 << 10

// described are the members of the operator's file that say who it is.
type described struct {
	Type             string `json:"type"`
	Email            string `json:"client_email"`
	Audience         string `json:"audience"`
	ImpersonationURL string `json:"service_account_impersonation_url"`
	UniverseDomain   string `json:"universe_domain"`
}

// fromFile makes a token of the file that the operator named. It is read anew each time, so that a new key needs no
// restart; what it says, down to commands and addresses, is the operator's own word and counts.
func (c *Client) fromFile(ctx context.Context, name string) (Token, error) {
	content, err := readFile(name)
	if err != nil {
		return Token{}, fileError(name, reasonOf(err))
	}
	var d described
	if json.Unmarshal(content, &d) != nil {
		return Token{}, fileError(name, "it is not JSON")
	}
	if d.UniverseDomain != "" && d.UniverseDomain != "googleapis.com" {
		return Token{}, fileError(name, "it is for another universe than googleapis.com")
	}
	r, err := d.request(name)
	if err != nil {
		return Token{}, err
	}
	made, err := credentials.NewCredentialsFromJSON(credentials.CredType(d.Type), content,
		&credentials.DetectOptions{Scopes: []string{scope}, Client: c.http, Logger: silent()})
	if err != nil {
		return Token{}, fileError(name, "it is no complete "+d.Type) // the library's text may quote the file
	}
	return ask(ctx, made, r)
}

// request tells who the file says it is.
func (d described) request(name string) (request, error) {
	target, standsIn := ImpersonationTarget(d.ImpersonationURL)
	switch credentials.CredType(d.Type) {
	case credentials.ServiceAccount:
		if !IsServiceAccount(d.Email) {
			return request{}, fileError(name, "its client_email is no service account's")
		}
		return request{what: "the key of " + d.Email, host: "oauth2.googleapis.com", principal: d.Email, hint: keyHint}, nil
	case credentials.ImpersonatedServiceAccount:
		if !standsIn {
			return request{}, fileError(name, "its service_account_impersonation_url is none of Google's")
		}
	case credentials.ExternalAccount:
		if !standsIn {
			pool := PoolOf(d.Audience)
			return request{what: "the federated token for " + pool, host: "sts.googleapis.com", principal: pool, hint: sourceHint(pool), file: name}, nil
		}
	default:
		return request{}, fileError(name, "its type is none of service_account, external_account, impersonated_service_account")
	}
	what := "the identity in GOOGLE_APPLICATION_CREDENTIALS standing in for " + target
	return request{what: what, host: "iamcredentials.googleapis.com", principal: target, hint: sourceHint(target), file: name}, nil
}

// sourceHint reads an answer on the way from a file to a token: it may be about the file's own identity.
func sourceHint(target string) func(*Answer) string {
	return func(a *Answer) string {
		switch a.Host {
		case "oauth2.googleapis.com":
			return keyHint(a)
		case "sts.googleapis.com":
			return stsHint(a)
		case "iamcredentials.googleapis.com":
			return impersonateHint(a, "the identity in GOOGLE_APPLICATION_CREDENTIALS", target)
		}
		return "look at credential_source in the file that GOOGLE_APPLICATION_CREDENTIALS names: it says to ask there"
	}
}

// sourceError is for what went wrong before anybody at Google was asked, or after: the libraries' texts may quote tokens.
func sourceError(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fileError(name, "its credential_source names "+clean(path.Path)+": "+reasonOf(path.Err))
	}
	return fileError(name, "no token comes of its credential_source")
}

func fileError(name, reason string) error {
	return &Error{Kind: ErrNoIdentity, Text: fmt.Sprintf("this node has no identity at Google: GOOGLE_APPLICATION_CREDENTIALS names %s, and %s", name, reason),
		Hint: "correct the file or the variable on the node; without the variable the machine's metadata server is asked"}
}

func reasonOf(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "it is not there"
	case errors.Is(err, os.ErrPermission):
		return "this process may not read it"
	case errors.As(err, &errno):
		return "reading it: " + errno.Error()
	}
	return err.Error()
}

func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(f, longestFile+1))
	if err == nil && len(content) > longestFile {
		return nil, fmt.Errorf("it is longer than %d KiB", longestFile>>10)
	}
	return content, err
}
