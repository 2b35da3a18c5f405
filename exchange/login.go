package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

// IdentityToken is the user name of a login whose password is a refresh token for the registry's token server, as
// Docker's credential helpers have it.
const IdentityToken = "<token>"

// jsonKey is the user name with which Google's registries take a service account's key file, line breaks and all.
const jsonKey = "_json_key"

// A Login is one user name and password in a secret.
type Login struct {
	Host     string // canonical; "" when the secret names none
	Path     string // the part of the host that it is for ("team-a"), "" for all of it
	Username string
	Password secret.Value
}

// Covers tells whether the login is for a repository of its host: by whole segments of the path, never by a prefix of
// the text.
func (l Login) Covers(repository string) bool {
	return l.Path == "" || repository == l.Path || strings.HasPrefix(repository, l.Path+"/")
}

const expected = `write {"username": "…", "password": "…", "server": "…"}, or a Docker configuration with "auths"`

func content(text string) error { return &Error{Kind: ErrContent, Text: text, Hint: expected} }

// ParseLogins reads a secret's content. It is one of
//
//	{"username": "ci", "password": "…", "server": "registry.example.com"}    (Anyscale's form; without server: Host is "")
//	{"auths": {"registry.example.com": {"auth": "base64 of user:password"}}} (Docker's and Kubernetes's form)
//
// Server and the keys of auths may have a scheme, Docker Hub's any of its names, and a path that narrows the login to a
// part of the host. An entry of auths has auth, or username and password, or all three alike, or identitytoken; an
// empty one is skipped.
//
// The reading is strict, because whatever is guessed here is sent to somebody: keys are exact, none is unknown or
// written twice, and one host and path has one login. A password is not empty and has no control character in it: the
// line break that echo leaves behind would be part of it, and the registry's answer would not say so. The error is an
// *Error with ErrContent; it never quotes the content, keys included.
//
// A login for a host whose vendor has one user name for all (FixedUsername) may leave it out.
func ParseLogins(value secret.Value) ([]Login, error) { return parseLogins(value, "") }

// parseLogins is ParseLogins where it is known which host a login is meant for that names none.
func parseLogins(value secret.Value, unnamed string) ([]Login, error) {
	fields, err := Fields(value)
	if err != nil {
		return nil, err
	}
	if isServiceAccount(string(value.Reveal())) {
		return nil, &Error{Kind: ErrContent, Text: "the secret is a Google service account's key file", Hint: "a registry of type gcp makes logins of it; no other does"}
	}
	if auths, ok := fields["auths"]; ok {
		if len(fields) > 1 {
			return nil, &Error{Kind: ErrContent, Text: `the secret has other keys beside "auths"`,
				Hint: `keep only "auths"; logins that a credential helper keeps (credsStore, credHelpers) are not in the file`}
		}
		return parseAuths(auths)
	}
	login, err := parsePlain(fields, unnamed)
	if err != nil {
		return nil, err
	}
	return []Login{login}, nil
}

// Fields reads a secret that is a JSON object, for kinds of registries with forms of their own: its members by name, none
// twice. The error is an *Error with ErrContent; it never quotes the content.
func Fields(value secret.Value) (map[string]json.RawMessage, error) {
	text := value.Reveal()
	switch {
	case len(text) == 0:
		return nil, content("the secret is empty")
	case len(text) > secret.MaxContent:
		return nil, content(fmt.Sprintf("the secret is longer than %d bytes", secret.MaxContent))
	case !utf8.Valid(text):
		return nil, content("the secret is not text in UTF-8")
	}
	fields, err := object(text)
	if err != nil {
		return nil, content("the secret is not what was expected: " + err.Error())
	}
	return fields, nil
}

// object reads a JSON object's members, refusing a name that occurs twice: which of the two counts differs between
// readers, and a check and its use must not differ. The errors quote nothing.
func object(text []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("it is not a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for decoder.More() {
		name, err := decoder.Token()
		key, isText := name.(string)
		if err != nil || !isText {
			return nil, fmt.Errorf("it is not JSON from byte %d on", decoder.InputOffset())
		}
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("a key is written twice")
		}
		var field json.RawMessage
		if err := decoder.Decode(&field); err != nil {
			return nil, fmt.Errorf("it is not JSON from byte %d on", decoder.InputOffset())
		}
		fields[key] = field
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("it is not JSON from byte %d on", decoder.InputOffset())
	}
	if decoder.More() || len(bytes.TrimSpace(text[decoder.InputOffset():])) > 0 {
		return nil, fmt.Errorf("there is something after the JSON object")
	}
	return fields, nil
}

// Texts reads members that must be strings and among the known names; absent ones are "". Where says which part of the secret
// they are in. The error is an *Error with ErrContent; it never quotes the content.
func Texts(fields map[string]json.RawMessage, where string, known ...string) (map[string]string, error) {
	out := make(map[string]string, len(fields))
	for name, field := range fields {
		if !slices.Contains(known, name) {
			return nil, content(fmt.Sprintf("%s has a key that is none of %s", where, strings.Join(known, ", ")))
		}
		var text *string
		if err := json.Unmarshal(field, &text); err != nil || text == nil {
			return nil, content(fmt.Sprintf("%s of %s is not a text in quotes", name, where))
		}
		out[name] = *text
	}
	return out, nil
}

func parsePlain(fields map[string]json.RawMessage, unnamed string) (Login, error) {
	values, err := Texts(fields, "the secret", "username", "password", "server")
	if err != nil {
		return Login{}, err
	}
	var host, path string
	if _, named := fields["server"]; named {
		if host, path, err = image.CanonicalServer(values["server"]); err != nil {
			return Login{}, &Error{Kind: ErrContent, Text: "server in the secret is not a registry host", Hint: "write the host as it stands in image references, as in registry.example.com:5000 or docker.io"}
		}
		unnamed = host
	}
	login, err := newLogin("the secret", unnamed, values["username"], values["password"])
	login.Host, login.Path = host, path
	return login, err
}

// newLogin checks what a registry can be sent: where says which part of the secret it is, host whom it is meant for, or "".
func newLogin(where, host, username, password string) (Login, error) {
	if username == "" {
		username = FixedUsername(host, password)
	}
	switch {
	case username == "":
		return Login{}, content(where + " has no username")
	case password == "":
		return Login{}, content(where + " has no password")
	case strings.Contains(username, ":"):
		return Login{}, content("username of " + where + " has a colon in it, which cannot be sent")
	case hasControl(username):
		return Login{}, content("username of " + where + " has a control character in it, perhaps a line break at its end")
	case username == jsonKey:
		if !json.Valid([]byte(password)) || !strings.HasPrefix(strings.TrimSpace(password), "{") {
			return Login{}, content("username of " + where + " is _json_key, and password is not the JSON of a key file")
		}
	case isServiceAccount(password):
		found := Check(host, username, Kind{Form: FormServiceAccount}) // its line breaks are not what is wrong with it
		return Login{}, &Error{Kind: ErrContent, Text: found.Text, Hint: found.Hint}
	case strings.HasSuffix(password, "\n"):
		return Login{}, &Error{Kind: ErrContent, Text: "password of " + where + " ends in a line break",
			Hint: "write the secret again without it: printf '%s' instead of echo"}
	case hasControl(password):
		return Login{}, content("password of " + where + " has a control character in it")
	}
	return Login{Username: username, Password: secret.NewValue([]byte(password))}, nil
}

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

func parseAuths(text json.RawMessage) ([]Login, error) {
	entries, err := object(text)
	if err != nil {
		return nil, content("auths in the secret is not what was expected: " + err.Error())
	}
	var logins []Login
	for _, key := range slices.Sorted(maps.Keys(entries)) { // sorted, so that of two errors always the same one is told
		if ours, err := parseEntry(key, entries[key]); err != nil {
			return nil, err
		} else if logins, err = add(logins, ours); err != nil {
			return nil, err
		}
	}
	if len(logins) == 0 {
		return nil, &Error{Kind: ErrContent, Text: "auths in the secret has no login in it",
			Hint: "docker login writes them elsewhere when a credential helper is configured; " + expected}
	}
	slices.SortFunc(logins, func(a, b Login) int { return strings.Compare(a.Host+"/"+a.Path, b.Host+"/"+b.Path) })
	return logins, nil
}

// add keeps one login per place; Docker Hub's names fold, so the same one may come twice.
func add(logins []Login, more []Login) ([]Login, error) {
	for _, m := range more {
		same := slices.IndexFunc(logins, func(l Login) bool { return l.Host == m.Host && l.Path == m.Path })
		switch {
		case same < 0:
			logins = append(logins, m)
		case logins[same].Username != m.Username || !logins[same].Password.Equal(m.Password):
			return nil, content("auths in the secret has two different logins for " + m.Host)
		}
	}
	return logins, nil
}

// parseEntry reads one entry of auths: no login for an empty one, and for the web tokens that Docker Desktop keeps
// beside Docker Hub's login.
func parseEntry(key string, text json.RawMessage) ([]Login, error) {
	if strings.HasSuffix(key, "/v1/access-token") || strings.HasSuffix(key, "/v1/refresh-token") {
		return nil, nil
	}
	host, path, err := image.CanonicalServer(key)
	if err != nil {
		return nil, content("a key of auths in the secret is not a registry host")
	}
	fields, err := object(text)
	if err != nil {
		return nil, content("the entry of auths for " + host + " is not what was expected: " + err.Error())
	}
	where := "the entry of auths for " + host
	values, err := Texts(fields, where, "auth", "username", "password", "email", "identitytoken")
	if err != nil {
		return nil, err
	}
	delete(values, "email")
	if strings.Join([]string{values["auth"], values["username"], values["password"], values["identitytoken"]}, "") == "" {
		return nil, nil
	}
	username, password, err := loginOf(where, values)
	if err != nil {
		return nil, err
	}
	login, err := newLogin(where, host, username, password)
	if err != nil {
		return nil, err
	}
	login.Host, login.Path = host, path
	return []Login{login}, nil
}

// loginOf chooses among the forms of an entry. Where it has auth and the plain fields, they must say the same: readers
// differ in which one they take.
func loginOf(where string, values map[string]string) (username, password string, err error) {
	if token := values["identitytoken"]; token != "" {
		return IdentityToken, token, nil
	}
	username, password = values["username"], values["password"]
	if values["auth"] == "" {
		return username, password, nil
	}
	user, pass, err := decodeAuth(values["auth"])
	if err != nil {
		return "", "", content("auth of " + where + " is not the base64 of user:password")
	}
	if (username != "" && username != user) || (password != "" && password != pass) {
		return "", "", content("auth of " + where + " says another login than its username and password")
	}
	return user, pass, nil
}

// decodeAuth reads base64, padded or not. Trailing NULs are not part of the password: old clients padded with them.
func decodeAuth(text string) (username, password string, err error) {
	pair, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return "", "", err
	}
	username, password, found := strings.Cut(string(pair), ":")
	if !found || !utf8.Valid(pair) {
		return "", "", fmt.Errorf("no user:password in it")
	}
	return username, strings.TrimRight(password, "\x00"), nil
}
