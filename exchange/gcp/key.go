package gcp

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"

	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/secret"
)

// text reads a member that is a string; "" where there is none. The names are exact: readers that fold their letters would
// take another than the one that was looked at here.
func text(fields map[string]json.RawMessage, name string) (string, error) {
	field, there := fields[name]
	if !there {
		return "", nil
	}
	var value *string
	if json.Unmarshal(field, &value) != nil || value == nil {
		return "", content(name+" in the secret is not a text in quotes", expected)
	}
	return *value, nil
}

// texts reads several.
func texts(fields map[string]json.RawMessage, names ...string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	for _, name := range names {
		value, err := text(fields, name)
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

// parseKey reads a service account's key file. Where its token is asked for is never the file's to say.
func parseKey(fields map[string]json.RawMessage) (google.Key, error) {
	values, err := texts(fields, "client_email", "private_key", "private_key_id", "token_uri", "universe_domain")
	if err != nil {
		return google.Key{}, err
	}
	const download = "put the key file into the secret as it was downloaded"
	if err := universe(values["universe_domain"]); err != nil {
		return google.Key{}, err
	}
	switch {
	case values["token_uri"] != google.TokenURL:
		return google.Key{}, content("token_uri of the key in the secret is not "+google.TokenURL+": nothing is sent", download+"; in keys of before 2018, write that address in its place")
	case !google.IsServiceAccount(values["client_email"]):
		return google.Key{}, content("client_email of the key in the secret is not a service account's", download)
	case len(values["private_key_id"]) > 128:
		return google.Key{}, content("private_key_id of the key in the secret is too long to be one", download)
	}
	if err := checkPEM(values["private_key"]); err != nil {
		return google.Key{}, content("private_key of the key in the secret "+err.Error(), download)
	}
	return google.Key{Email: values["client_email"], ID: values["private_key_id"], PEM: secret.NewValue([]byte(values["private_key"]))}, nil
}

func universe(domain string) error {
	if domain == "" || domain == "googleapis.com" {
		return nil
	}
	return content("universe_domain in the secret is another than googleapis.com, whose registries have other hosts and take no token of this one", "use an identity of Google's public cloud")
}

// checkPEM tells what is wrong with a private key; the text quotes nothing.
func checkPEM(text string) error {
	block, rest := pem.Decode([]byte(text))
	switch {
	case text == "":
		return errors.New("is not there")
	case block == nil && strings.Contains(text, `\n`):
		return errors.New(`has its line breaks written out as \n twice over: it was quoted once too often`)
	case block == nil || len(strings.TrimSpace(string(rest))) > 0:
		return errors.New("is not one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return errors.New("is damaged")
		}
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < 1024 || key.N.BitLen() > 8192 {
		return errors.New("is no RSA key of a usual size")
	}
	return nil
}
