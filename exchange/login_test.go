package exchange_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

const marker = "hunter2-Marker"

func auth(pair string) string { return base64.StdEncoding.EncodeToString([]byte(pair)) }

func TestA3Forms(t *testing.T) {
	const key = "{\n  \"type\": \"service_account\"\n}\n"
	quoted, _ := json.Marshal(key)
	for _, test := range []struct{ text, want string }{
		{`{"username":"ci","password":"p","server":"example.jfrog.io"}`, "ci:p@example.jfrog.io"},
		{" {\"server\":\"HTTPS://Example.com:443/team-a/\",\n\"password\":\"p:q ü \",\"username\":\"ci\"}\n", "ci:p:q ü @example.com/team-a"},
		{`{"username":"ci","password":"p"}`, "ci:p@"},
		{`{"username":"_json_key","password":` + string(quoted) + `,"server":"gcr.io"}`, "_json_key:" + key + "@gcr.io"},
		{`{"auths":{"https://index.docker.io/v1/":{"auth":"` + auth("ci:p:q") + `","email":"x@example.com"}}}`, "ci:p:q@docker.io"},
		{`{"auths":{"ghcr.io":{"auth":"` + strings.TrimRight(auth("ci:pa"), "=") + `"}}}`, "ci:pa@ghcr.io"},
		{`{"auths":{"ghcr.io":{"auth":"` + auth("ci:p\x00\x00") + `"}}}`, "ci:p@ghcr.io"},
		{`{"auths":{"ghcr.io":{"username":"ci","password":"p","auth":"` + auth("ci:p") + `"},"b.io/x":{"username":"u","password":"v"},"empty.io":{}}}`, "u:v@b.io/x ci:p@ghcr.io"},
		{`{"auths":{"docker.io":{"username":"ci","password":"p"},"index.docker.io":{"username":"ci","password":"p"}}}`, "ci:p@docker.io"},
		{`{"auths":{"https://index.docker.io/v1/":{"username":"ci","password":"p"},"https://index.docker.io/v1/access-token":{"username":"ci","password":"jwt"}}}`, "ci:p@docker.io"},
		{`{"auths":{"reg.azurecr.io":{"auth":"` + auth("00000000-0000-0000-0000-000000000000:") + `","identitytoken":"refresh"}}}`, "<token>:refresh@reg.azurecr.io"},
	} {
		logins, err := exchange.ParseLogins(secret.NewValue([]byte(test.text)))
		var got []string
		for _, l := range logins {
			place := l.Host
			if l.Path != "" {
				place += "/" + l.Path
			}
			got = append(got, l.Username+":"+string(l.Password.Reveal())+"@"+place)
		}
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, %v", test.text, got, err)
		}
	}
}

// What is not understood is refused, with a text that says what was expected and quotes nothing.
func TestP13StrictAndSilent(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                   ``,
		"the password alone":      marker,
		"a quoted password":       `"` + marker + `"`,
		"an array":                `["` + marker + `"]`,
		"null":                    `null`,
		"no end":                  `{"username":"ci","password":"` + marker,
		"two documents":           `{"username":"ci","password":"` + marker + `"} {}`,
		"rest":                    `{"username":"ci","password":"` + marker + `"} x`,
		"closing rest":            `{"username":"ci","password":"` + marker + `"}}`,
		"a key twice":             `{"username":"ci","password":"` + marker + `","password":"` + marker + `"}`,
		"a key twice, escaped":    `{"username":"ci","password":"` + marker + `","passw\u006frd":"x"}`,
		"an unknown key":          `{"username":"ci","password":"x","` + marker + `":"x"}`,
		"other case":              `{"Username":"ci","Password":"` + marker + `"}`,
		"no user":                 `{"password":"` + marker + `","server":"ghcr.io"}`,
		"empty user":              `{"username":"","password":"` + marker + `"}`,
		"colon in user":           `{"username":"c:i","password":"` + marker + `"}`,
		"line break in user":      `{"username":"ci\n","password":"` + marker + `"}`,
		"no password":             `{"username":"` + marker + `"}`,
		"empty password":          `{"username":"` + marker + `","password":""}`,
		"line break at end":       `{"username":"ci","password":"` + marker + `\n"}`,
		"carriage return":         `{"username":"ci","password":"` + marker + `\r"}`,
		"control character":       `{"username":"ci","password":"\u0000` + marker + `"}`,
		"C1 control character":    `{"username":"ci","password":"\u0085` + marker + `"}`,
		"password is a number":    `{"username":"ci","password":12345}`,
		"password is null":        `{"username":"ci","password":null}`,
		"password is an object":   `{"username":"ci","password":{"x":"` + marker + `"}}`,
		"not UTF-8":               "{\"username\":\"ci\",\"password\":\"\xff" + marker + "\"}",
		"empty server":            `{"username":"ci","password":"` + marker + `","server":""}`,
		"server with a login":     `{"username":"ci","password":"x","server":"https://ci:` + marker + `@ghcr.io"}`,
		"server with a glob":      `{"username":"ci","password":"` + marker + `","server":"*.io"}`,
		"two servers":             `{"username":"ci","password":"` + marker + `","server":"ghcr.io, docker.io"}`,
		"_json_key without JSON":  `{"username":"_json_key","password":"` + marker + `"}`,
		"auths and more":          `{"auths":{"ghcr.io":{"username":"ci","password":"` + marker + `"}},"credsStore":"desktop"}`,
		"auths and username":      `{"auths":{},"username":"ci","password":"` + marker + `"}`,
		"auths is no object":      `{"auths":["` + marker + `"]}`,
		"auths is empty":          `{"auths":{}}`,
		"auths with markers only": `{"auths":{"ghcr.io":{},"docker.io":{}}}`,
		"auth is not base64":      `{"auths":{"ghcr.io":{"auth":"` + marker + `!"}}}`,
		"auth without colon":      `{"auths":{"ghcr.io":{"auth":"` + auth(marker) + `"}}}`,
		"auth without user":       `{"auths":{"ghcr.io":{"auth":"` + auth(":"+marker) + `"}}}`,
		"auth without password":   `{"auths":{"ghcr.io":{"auth":"` + auth(marker+":") + `"}}}`,
		"auth with a line break":  `{"auths":{"ghcr.io":{"auth":"` + auth("ci:"+marker+"\n") + `"}}}`,
		"auth and another user":   `{"auths":{"ghcr.io":{"auth":"` + auth("ci:"+marker) + `","username":"cj"}}}`,
		"registrytoken":           `{"auths":{"ghcr.io":{"registrytoken":"` + marker + `"}}}`,
		"an entry's key twice":    `{"auths":{"ghcr.io":{"username":"ci","username":"ci","password":"` + marker + `"}}}`,
		"a host twice":            `{"auths":{"ghcr.io":{"username":"ci","password":"` + marker + `"},"ghcr.io":{}}}`,
		"a host's names differ":   `{"auths":{"docker.io":{"username":"ci","password":"` + marker + `"},"index.docker.io":{"username":"ci","password":"other"}}}`,
		"a key that is no host":   `{"auths":{"` + marker + `@ghcr.io":{"username":"ci","password":"x"}}}`,
		"too long":                `{"username":"ci","password":"` + strings.Repeat(marker, secret.MaxContent) + `"}`,
	} {
		logins, err := exchange.ParseLogins(secret.NewValue([]byte(text)))
		if !errors.Is(err, exchange.ErrContent) || logins != nil {
			t.Errorf("%s: %v, %v", name, logins, err)
			continue
		}
		exchangetest.Silent(t, err, marker, auth("ci:"+marker), "12345")
		if exchange.HintOf(err) == "" {
			t.Errorf("%s: no hint with %v", name, err)
		}
	}
}

// What is read can be sent, names a canonical host, and is read the same way once more.
func FuzzParseLogins(f *testing.F) {
	for _, text := range []string{
		`{"username":"ci","password":"p","server":"example.jfrog.io"}`, `{"username":"ci","password":"p"}`,
		`{"auths":{"https://index.docker.io/v1/":{"auth":"Y2k6cA=="},"b.io/x":{"username":"u","password":"v"}}}`,
		`{"auths":{"ghcr.io":{"identitytoken":"x"}}}`, `{"username":"_json_key","password":"{\n}"}`, `{"a":1,"a":2}`, `[`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		logins, err := exchange.ParseLogins(secret.NewValue(text))
		if err != nil {
			if !errors.Is(err, exchange.ErrContent) || logins != nil {
				t.Errorf("%v, %v", logins, err)
			}
			return
		}
		for _, l := range logins {
			if l.Username == "" || l.Password.Empty() || strings.ContainsAny(l.Username, ":\n\x00") {
				t.Errorf("%q cannot be sent", l.Username)
			}
			if l.Host == "" {
				if len(logins) > 1 {
					t.Error("one of several without a host")
				}
			} else if canonical, err := image.CanonicalHost(l.Host); err != nil || canonical != l.Host {
				t.Errorf("host %q: %q, %v", l.Host, canonical, err)
			}
			again, _ := json.Marshal(map[string]string{"username": l.Username, "password": string(l.Password.Reveal())})
			if back, err := exchange.ParseLogins(secret.NewValue(again)); len(again) <= secret.MaxContent && (err != nil || !back[0].Password.Equal(l.Password)) {
				t.Errorf("not read again: %v", err)
			}
		}
	})
}
