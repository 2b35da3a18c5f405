package exchange_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/secret"
)

const (
	rest20     = "hunter2hunter2hunter"
	ghp        = "ghp_" + rest20
	fine       = "github_pat_" + rest20
	hubToken   = "dckr_pat_" + rest20
	glpat      = "glpat-" + rest20
	nvapi      = "nvapi-" + rest20
	dop        = "dop_v1_" + rest20
	google     = "ya29." + rest20
	awsKey     = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	harbor     = "hunter2Hunter2hunter2Hunter2abcd"
	quayRobot  = "HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2X"
	keyFile    = "{\n  \"type\": \"service_account\",\n  \"private_key\": \"hunter2\"\n}"
	someone    = "hunter2"
	accessKey  = "AKIAIOSFODNN7EXAMPLE"
	registries = "registry.example.com"
)

func jwt(claims string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256"}`) + "." + part(claims) + "." + part("hunter2")
}

var now = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)

// What has to be said, by host, user name and password; "" where the login is good or may be.
var fitCases = []struct{ host, username, password, text string }{
	{"docker.io", "acme", someone, ""}, {"docker.io", "acme", hubToken, ""}, {"docker.io", "acme", "dckr_oat_" + rest20, ""},
	{"docker.io", "acme@example.com", hubToken, "e-mail address"}, {"docker.io", "acme", ghp, "GitHub token"}, {"docker.io", "acme", "ghp_short", ""},
	{"ghcr.io", "acme", ghp, ""}, {"ghcr.io", "acme@example.com", "ghs_" + rest20, ""}, {"ghcr.io", "x", fine, "fine-grained"}, {"ghcr.io", "acme", hubToken, "Docker Hub access token"},
	{registries, "acme", fine, ""}, {registries, "acme", hubToken, ""}, {registries, "ada@example.com", someone, ""},
	{"registry.gitlab.com", "gitlab+deploy-token-1", "gldt-" + rest20, ""}, {"registry.gitlab.com", "ada@example.com", glpat, ""}, {"registry.gitlab.com", "gitlab-ci-token", glpat, ""},
	{"registry.gitlab.com", "ada", "glrt-" + rest20, "runner"}, {"registry.gitlab.com", "gitlab+deploy-token", "gldt-" + rest20, "without its number"},
	{"git.example.com:5050", "gitlab-ci-token", "glrt-" + rest20, "runner"}, {"git.example.com:5050", "ada", "glrt-" + rest20, ""}, {"git.example.com:5050", "gitlab+deploy-token-7", someone, ""},
	{"quay.io", "acme+robot", quayRobot, ""}, {"quay.io", "$oauthtoken", someone, ""}, {"quay.io", "$token", someone, ""}, {"quay.io", "$app", someone, ""}, {"quay.io", "ada", someone, ""},
	{"quay.io", `\$oauthtoken`, someone, "escaped"}, {"quay.io", "$$app", someone, "escaped"}, {"quay.io", "+robot", quayRobot, "one half"}, {"quay.io", "acme+", quayRobot, "one half"},
	{"quay.example.com", "robot+ci", quayRobot, "~cut"},
	{registries, "robot$ci", harbor, ""}, {registries, "robot$ml+ci", harbor, ""}, {registries, "robot$$ci", harbor, "escaped"}, {registries, `robot\$ci`, harbor, "escaped"}, {registries, "robot$", harbor, "beginning"},
	{registries, "robot+ci", harbor, "cut"}, {registries, "robot", harbor, "~cut"}, {"harbor.example.com", "robot", harbor, "cut"}, {"harbor.example.com", "robot", someone, ""}, {registries, "robot", someone, ""}, {registries, "robotnik", harbor, ""},
	{"nvcr.io", "$oauthtoken", nvapi, ""}, {"nvcr.io", "oauthtoken", nvapi, "always $oauthtoken"}, {"nvcr.io", "ada@example.com", nvapi, "always $oauthtoken"}, {"nvcr.io", "$oauthtoken", ghp, "NVIDIA's"},
	{"icr.io", "iamapikey", someone, ""}, {"us.icr.io", "iambearer", jwt(`{"exp":99999999999}`), ""}, {"private.de.icr.io", "iamrefresh", someone, ""}, {"de.icr.io", "ada@example.com", someone, "none that IBM"}, {"cp.icr.io", "cp", jwt(`{}`), ""},
	{"fra.ocir.io", "axns/ada@example.com", someone, ""}, {"ocir.eu-frankfurt-1.oci.oraclecloud.com", "axns/oracleidentitycloudservice/ada", someone, ""}, {"fra.ocir.io", "ada@example.com", someone, "namespace"}, {"fra.ocir.io", "/ada", someone, "namespace"},
	{"rg.fr-par.scw.cloud", "nologin", "6b1a1c3e-0000-4000-8000-000000000000", ""}, {"rg.fr-par.scw.cloud", "x", "SCWHUNTER2HUNTER2XXX", "access key"},
	{"registry.digitalocean.com", dop, dop, ""}, {"registry.digitalocean.com", "ada@example.com", dop, ""}, {"registry.digitalocean.com", "ada", glpat, "DigitalOcean's"},
	{"registry.redhat.io", "1234567|ci", jwt(`{"sub":"x"}`), ""}, {"registry.redhat.io", "1234567", jwt(`{"sub":"x"}`), "without its name"}, {"registry.redhat.io", "ada", someone, ""}, {"registry.redhat.io", "1234567", someone, ""},
	{"codeberg.org", "ada@example.com", "0123456789abcdef0123456789abcdef01234567", ""}, {"codeberg.org", "ada", ghp, "Gitea's"},
	{"docker.io", "ada", google, "Google access token"}, {"europe-docker.pkg.dev", "oauth2accesstoken", google, ""}, {registries, "oauth2accesstoken", google, ""},
	{registries, "ada", jwt(`{"exp":1700000000}`), "ended on 2023-11-14"}, {registries, "<token>", jwt(`{"exp":1700000000}`), "ended on"},
	{registries, "ada", jwt(`{"exp":"soon"}`), ""}, {registries, "ada", "eyJhbGciOi.x", ""}, {registries, "ada", jwt(`{"exp":0}`), ""}, {registries, "ada", jwt(`{"exp":1e300}`), ""},
	{registries, accessKey, awsKey, "AWS access key"}, {"docker.io", accessKey, awsKey, "AWS access key"}, {"123456789012.dkr.ecr.eu-west-1.amazonaws.com", accessKey, awsKey, ""}, {registries, "ada", awsKey, ""},
	{registries, "ada", keyFile, "key file"}, {registries, "_json_key", keyFile, ""},
	{"acme.jfrog.io", "ada@example.com", "cmVmdGtuOjAxOjAwMDA6aHVudGVyMg", ""}, {"acme.jfrog.io", "ada", ghp, "JFrog's"}, {"docker.io", "ada", "cmVmdGtuOjAxOjAwMDA6aHVudGVyMg", "JFrog reference token"},
	{"docker.io.evil.com", "acme@example.com", ghp, ""}, {"docker.io:5000", "acme@example.com", ghp, ""}, {"xghcr.io", "ada", fine, ""}, {"ghcr.io:8443", "ada", fine, ""},
}

func TestCheck(t *testing.T) {
	for _, c := range fitCases {
		found := exchange.Check(c.host, c.username, exchange.KindOf(c.password, now))
		want, isDoubt := strings.CutPrefix(c.text, "~")
		switch {
		case want == "" && found != nil:
			t.Errorf("%s, %s: a false alarm: %s", c.host, c.username, found.Text)
		case want != "" && (found == nil || !strings.Contains(found.Text, want) || found.Certain == isDoubt || found.Hint == ""):
			t.Errorf("%s, %s: %+v, want %q", c.host, c.username, found, c.text)
		case found != nil && strings.Contains(found.Text+found.Hint, c.password):
			t.Errorf("%s, %s: the password is in the finding", c.host, c.username)
		}
	}
}

// A token that has just ended is sent all the same: this node's clock may be ahead.
func TestKindOfEnded(t *testing.T) {
	for ago, want := range map[time.Duration]bool{-time.Hour: false, time.Minute: false, time.Hour: true} {
		if kind := exchange.KindOf(jwt(fmt.Sprintf(`{"exp":%d}`, now.Add(-ago).Unix())), now); kind.Ended.IsZero() == want {
			t.Errorf("%v ago: %+v", ago, kind)
		}
	}
}

// The same table through a secret: what is certain is refused, the rest is sent as it is.
func TestPasswordLoginRefusesWhatIsCertain(t *testing.T) {
	for _, c := range fitCases {
		if strings.Contains(c.text, "ended") && c.username == exchange.IdentityToken {
			continue
		}
		r := exchange.Request{Host: c.host, Secret: secret.NewValue(fmt.Appendf(nil, `{"username":%q,"password":%q,"server":%q}`, c.username, c.password, c.host))}
		login, err := exchange.PasswordLogin(r)
		if c.text == "" || c.text[0] == '~' {
			if err != nil || login.Username() != c.username || login.Password() != c.password {
				t.Errorf("%s, %s: %v, %v", c.host, c.username, login, err)
			}
			continue
		}
		if !errors.Is(err, exchange.ErrContent) || !login.Empty() || exchange.HintOf(err) == "" {
			t.Errorf("%s, %s: %v, %v", c.host, c.username, login, err)
		}
		exchangetest.Silent(t, err, c.password)
	}
}

func TestOneUserNameForAll(t *testing.T) {
	for host, want := range map[string]string{"nvcr.io": "$oauthtoken", "de.icr.io": "iamapikey", "rg.nl-ams.scw.cloud": "nologin", "registry.digitalocean.com": dop} {
		for form, text := range map[string]string{
			"with server":    fmt.Sprintf(`{"password":%q,"server":%q}`, dop, host),
			"without server": fmt.Sprintf(`{"password":%q}`, dop),
			"cut by a shell": fmt.Sprintf(`{"username":"","password":%q}`, dop),
			"auths":          fmt.Sprintf(`{"auths":{%q:{"password":%q}}}`, host, dop),
			"auth":           fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(":"+dop))),
		} {
			if host != "registry.digitalocean.com" {
				text = strings.ReplaceAll(text, dop, someone)
				text = strings.ReplaceAll(text, base64.StdEncoding.EncodeToString([]byte(":"+dop)), base64.StdEncoding.EncodeToString([]byte(":"+someone)))
			}
			login, err := exchange.PasswordLogin(exchange.Request{Host: host, Hosts: []string{host, registries}, Secret: secret.NewValue([]byte(text))})
			if err != nil || login.Username() != want || len(login.Hosts()) != 1 || !login.For(host) {
				t.Errorf("%s %s: %v, %v", host, form, login.Username(), err)
			}
		}
	}
	for _, host := range []string{"ghcr.io", "docker.io", registries, "nvcr.io.evil.com", "xnvcr.io", "nvcr.io:8443"} {
		if _, err := exchange.PasswordLogin(exchange.Request{Host: host, Hosts: []string{host}, Secret: secret.NewValue([]byte(`{"password":"hunter2"}`))}); !errors.Is(err, exchange.ErrContent) || !strings.Contains(err.Error(), "no username") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A wrong login for one host does not take away the right one for another beside it.
func TestOnlyTheChosenLoginIsChecked(t *testing.T) {
	text := fmt.Sprintf(`{"auths":{"docker.io":{"username":"a@example.com","password":%q},"ghcr.io":{"username":"ada","password":%q}}}`, ghp, ghp)
	if login, err := exchange.PasswordLogin(exchange.Request{Host: "ghcr.io", Secret: secret.NewValue([]byte(text))}); err != nil || login.Username() != "ada" {
		t.Errorf("%v, %v", login, err)
	}
	if _, err := exchange.PasswordLogin(exchange.Request{Host: "docker.io", Secret: secret.NewValue([]byte(text))}); !errors.Is(err, exchange.ErrContent) {
		t.Error(err)
	}
}

func TestKeyFileAsTheWholeSecret(t *testing.T) {
	_, err := exchange.ParseLogins(secret.NewValue([]byte(keyFile)))
	if !errors.Is(err, exchange.ErrContent) || !strings.Contains(exchange.HintOf(err), "type gcp") {
		t.Error(err)
	}
}

// Whatever the password is, looking at it ends, and what is said of it has no part of it.
func FuzzKindOf(f *testing.F) {
	for _, c := range fitCases {
		f.Add(c.host, c.username, c.password)
	}
	f.Fuzz(func(t *testing.T, host, username, password string) {
		kind := exchange.KindOf(password, now)
		found := exchange.Check(host, username, kind)
		if found != nil && len(password) > 30 && strings.Contains(found.Text+found.Hint, password) {
			t.Error("the password is in the finding")
		}
		if name := exchange.FixedUsername(host, password); strings.HasPrefix(name, "$") && host != "nvcr.io" {
			t.Errorf("%s: filled in %s", host, name)
		}
	})
}
