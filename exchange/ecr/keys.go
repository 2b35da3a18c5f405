package ecr

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

const expected = `write {"aws_access_key_id": "AKIA…", "aws_secret_access_key": "…"}, what aws iam create-access-key prints, or the two as {"username": "AKIA…", "password": "…"}`

func content(text string) error {
	return &exchange.Error{Kind: exchange.ErrContent, Text: text, Hint: expected}
}

// spellings are the names of an access key's parts, as files, environments and the AWS command line's answers have them.
var spellings = [][3]string{
	{"aws_access_key_id", "aws_secret_access_key", "aws_session_token"},
	{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
	{"AccessKeyId", "SecretAccessKey", "SessionToken"},
}

// beside are members of the command line's answers that are no part of the key.
var beside = []string{"UserName", "Status", "CreateDate", "Expiration"}

// keysOf reads the access key in the request's secret. It is one of
//
//	{"aws_access_key_id": "AKIA…", "aws_secret_access_key": "…", "aws_session_token": "…"}    (or in one of the other spellings, with "server")
//	{"AccessKey": {"AccessKeyId": "AKIA…", "SecretAccessKey": "…", …}}                        (aws iam create-access-key)
//	{"Credentials": {"AccessKeyId": "ASIA…", "SecretAccessKey": "…", "SessionToken": "…", …}} (aws sts assume-role)
//	{"username": "AKIA…", "password": "…", "server": "…"}                                     (Iguazio's form; "auths" too)
//
// and is read as strictly as exchange.ParseLogins does. A key that names no host is for all of Amazon's: it goes nowhere but
// to Amazon, and there only as a signature.
func keysOf(r exchange.Request) (*amazon.Keys, error) {
	fields, err := exchange.Fields(r.Secret)
	if err != nil {
		return nil, withHint(err)
	}
	for _, wrapper := range []string{"AccessKey", "Credentials"} {
		if inner, wrapped := fields[wrapper]; wrapped {
			return unwrapped(fields, wrapper, inner)
		}
	}
	for _, names := range spellings {
		for _, name := range names {
			if _, ok := fields[name]; ok {
				return spelled(r, fields, names)
			}
		}
	}
	return pair(r)
}

// withHint puts in what this room expects.
func withHint(err error) error {
	var told *exchange.Error
	if errors.As(err, &told) {
		told.Hint = expected
	}
	return err
}

// unwrapped reads an answer of the AWS command line.
func unwrapped(fields map[string]json.RawMessage, wrapper string, inner json.RawMessage) (*amazon.Keys, error) {
	for name := range fields {
		if name != wrapper && name != "AssumedRoleUser" && name != "PackedPolicySize" && name != "SourceIdentity" {
			return nil, content(fmt.Sprintf("the secret has other keys beside %q", wrapper))
		}
	}
	within, err := exchange.Fields(secret.NewValue(inner))
	if err != nil {
		return nil, content(wrapper + " in the secret is not a JSON object")
	}
	names := spellings[2]
	values, err := exchange.Texts(within, wrapper+" in the secret", append(slices.Clone(beside), names[:]...)...)
	if err != nil {
		return nil, withHint(err)
	}
	return newKeys(values[names[0]], values[names[1]], values[names[2]])
}

func spelled(r exchange.Request, fields map[string]json.RawMessage, names [3]string) (*amazon.Keys, error) {
	known := append([]string{"server"}, names[:]...)
	if names == spellings[2] {
		known = append(known, beside...)
	}
	values, err := exchange.Texts(fields, "the secret", known...)
	if err != nil {
		return nil, withHint(err)
	}
	if _, named := fields["server"]; named {
		host, path, err := image.CanonicalServer(values["server"])
		if err != nil {
			return nil, content("server in the secret is not a registry host")
		}
		if host != r.Host || r.Repository != "" && !(exchange.Login{Path: path}).Covers(r.Repository) {
			return nil, &exchange.Error{Kind: exchange.ErrHostMismatch,
				Text: fmt.Sprintf("the secret is for %s and the image is at %s: the access key is not used for it", strings.TrimSuffix(host+"/"+path, "/"), r.Host),
				Hint: `change "server" in the secret, or leave it out: an access key is never sent to a registry`}
		}
	}
	return newKeys(values[names[0]], values[names[1]], values[names[2]])
}

// pair reads a user name and a password that are an access key.
func pair(r exchange.Request) (*amazon.Keys, error) {
	logins, err := exchange.ParseLogins(r.Secret)
	if err != nil {
		return nil, withHint(err)
	}
	if len(logins) == 1 && logins[0].Host == "" {
		return newKeys(logins[0].Username, string(logins[0].Password.Reveal()), "")
	}
	c, err := exchange.PasswordLogin(r)
	if err != nil {
		return nil, err
	}
	return newKeys(c.Username(), c.Password(), "")
}

var (
	keyID     = regexp.MustCompile(`^[A-Z0-9]{16,128}$`)
	secretKey = regexp.MustCompile(`^[A-Za-z0-9/+]{40}$`)
)

// newKeys checks that it is an access key by its look; what it is not, it says without showing it.
func newKeys(id, secretAccessKey, token string) (*amazon.Keys, error) {
	switch {
	case id == username:
		return nil, content("the login in the secret is a registry's password (user AWS), which ends after twelve hours: an access key was expected, of which new ones are made")
	case strings.Contains(id, "@"):
		return nil, content("the user name in the secret is an e-mail address, and no access key id")
	case !keyID.MatchString(id):
		return nil, content("the secret has no access key id, which is like AKIA and 16 more capitals and digits")
	case !secretKey.MatchString(secretAccessKey):
		return nil, content("the secret access key in the secret is not one: it has 40 letters, digits, / and +")
	case strings.HasPrefix(id, "ASIA") && token == "":
		return nil, content("the access key in the secret is a temporary one, and its session token is not there")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, content("the session token in the secret has a space or a line break in it")
	}
	return &amazon.Keys{ID: id, Secret: secret.NewValue([]byte(secretAccessKey)), Token: secret.NewValue([]byte(token))}, nil
}
