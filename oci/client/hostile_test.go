package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// everything accepts and records; it plays a token server that takes all logins.
var everything = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, `{"token":"stolen","access_token":"stolen"}`)
})

func challenging(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", text)
		answer(w, 401, "")
	})
}

func bearerAt(realm string) string { return fmt.Sprintf("Bearer realm=%q,service=\"s\"", realm) }

// Advisories about registries that send the login to a token server of another, each by its id, and their relatives.
func TestP18RealmsOfOthers(t *testing.T) {
	for _, test := range []struct{ id, registry, realm string }{
		{"GHSA-6c87-g9pw-78fx", "ghcr.io", "https://evilghcr.io/token"},                                      // suffix
		{"connaisseur#2166", "ghcr.io", "https://ghcr.io.evil.com/token"},                                    // prefix
		{"docker-credential-acr-env#21", "acme.azurecr.io", "https://acme.azurecr.io.evil.com/oauth2/token"}, // no anchors
		{"docker-credential-acr-env#21, another's", "acme.azurecr.io", "https://evil.azurecr.io/oauth2/token"},
		{"GHSA-9m43-p3cx-w8j5", "r.example.com", "https://evil.com/token"}, // malcontent: any realm
		{"go-containerregistry#2193, plain", "r.example.com", "http://r.example.com/token"},
		{"go-containerregistry#2193, metadata", "r.example.com", "https://169.254.169.254/latest/api/token"},
		{"go-containerregistry#2193, loopback", "r.example.com", "https://127.0.0.1/token"},
		{"CVE-2020-15157", "r.example.com", "https://evil.com/token?realm=r.example.com"}, // containerd
		{"CVE-2020-15157, userinfo", "r.example.com", "https://r.example.com@evil.com/token"},
		{"a part of ECR's", "111122223333.dkr.ecr.eu-west-1.amazonaws.com", "https://x.amazonaws.com.evil.com/"},
		{"Hub's, prefix", "registry-1.docker.io", "https://docker.io.evil.com/token"},
		{"Hub's, both", "registry-1.docker.io", "https://evilauth.docker.io.evil.com/"},
		{"Hub's, for another", "evil.com", "https://auth.docker.io/token"}, // the victim's token server, which would answer evil.com's challenge
		{"a sub-domain", "r.example.com", "https://sub.r.example.com/token"},
		{"the parent", "r.example.com", "https://example.com/token"},
		{"another port", "r.example.com", "https://r.example.com:8443/token"},
	} {
		t.Run(test.id, func(t *testing.T) {
			f := newFixture(t)
			f.HTTPS(test.registry, challenging(bearerAt(test.realm)))
			u, err := url.Parse(test.realm)
			if err != nil {
				t.Fatal(err)
			}
			if u.Scheme == "http" {
				f.HTTP(u.Host, everything)
			} else if u.Host != test.registry && u.Hostname() != "169.254.169.254" && u.Hostname() != "127.0.0.1" {
				f.HTTPS(u.Host, everything)
			}
			for _, c := range []credential.Credential{login(marker, canonical(test.registry)), credential.New("<token>", marker, time.Time{}, []string{canonical(test.registry)})} {
				k := f.client(egress.Rules{Host: test.registry}, c)
				_, err := k.Manifest(t.Context(), repo, "v1")
				if err == nil || client.Refused(err) || !errors.Is(err, egress.ErrRefused) {
					t.Errorf("%v", err)
				}
			}
			f.nobodyElse(marker)
			for _, s := range f.Servers() {
				if s.Host != test.registry && s.Received() != "" {
					t.Errorf("%s was asked at all: %.100q", s.Host, s.Received())
				}
			}
		})
	}
}

func canonical(host string) string {
	if host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}

// With a login, an unpaired token server is an error that says so; where the registry takes Basic too, that serves; and
// a realm that an admin confirmed is as good as the registry's own. Without a login there is nothing to lose.
func TestP18RealmsConfirmedOrNot(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://auth.example.org/token", password: is(marker), public: true}
	f.HTTPS("auth.example.org", i)
	f.HTTPS(host, i.protect(f.inner))
	_, err := f.client(egress.Rules{}, login(marker)).Manifest(t.Context(), repo, "v1")
	want := "manifest v1 of r.example.com/acme/app: refused by a rule: auth.example.org is not a token server of r.example.com; the login was not sent there"
	if err == nil || !client.Withheld(err) || client.Refused(err) || !errors.Is(err, oci.ErrUnauthorized) || err.Error() != want || i.count() != 0 {
		t.Errorf("%v", err)
	}
	f.reads(f.client(egress.Rules{}))
	f.nobodyElse(marker)
	f.reads(f.client(egress.Rules{Realms: []string{"auth.example.org"}}, login(marker)))
	f.nobodyElse(marker, "auth.example.org")

	f = newFixture(t)
	evil := f.HTTPS("evil.com", everything)
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password == marker {
			f.inner.ServeHTTP(w, r)
			return
		}
		challenging(bearerAt("https://evil.com/token")+`, Basic realm="x"`).ServeHTTP(w, r)
	}))
	f.reads(f.client(egress.Rules{}, login(marker)))
	if evil.Received() != "" {
		t.Error("evil.com was asked")
	}
}

// A registry that learns of a login only later: what it asked an anonymous caller is checked again.
func TestP18RememberedChallenges(t *testing.T) {
	f := newFixture(t)
	f.HTTPS("evil.com", everything)
	f.HTTPS(host, challenging(bearerAt("https://evil.com/token")))
	c := f.client(egress.Rules{}, credential.Credential{})
	_, err := c.Manifest(t.Context(), repo, "v1")
	if err == nil {
		t.Error("nobody let it in")
	}
	f.logins = []credential.Credential{login(marker)}
	if _, err = c.Manifest(t.Context(), repo, "v1"); !client.Withheld(err) {
		t.Errorf("%v", err)
	}
	f.nobodyElse(marker)
}

func TestP18TokenServersThatRedirect(t *testing.T) {
	for _, location := range []string{"https://evil.com/", "https://sub." + host + "/", "https://" + host + ":8443/", "http://" + host + "/"} {
		f := newFixture(t)
		for _, other := range []string{"evil.com", "sub." + host, host + ":8443"} {
			f.HTTPS(other, everything)
		}
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				w.Header().Set("Location", location)
				w.WriteHeader(307)
				return
			}
			challenging(bearerAt("https://"+host+"/token")).ServeHTTP(w, r)
		}))
		for _, c := range []credential.Credential{login(marker), credential.New("<token>", marker, time.Time{}, []string{host})} {
			_, err := f.client(egress.Rules{}, c).Manifest(t.Context(), repo, "v1")
			if err == nil || client.Refused(err) || !errors.Is(err, egress.ErrRefused) {
				t.Errorf("%s: %v", location, err)
			}
		}
		f.nobodyElse(marker, host)
	}
}

// Blobs lie elsewhere: that host gets no Authorization, its challenge is not answered, and its refusal is its own.
func TestP18StorageIsNotTheRegistry(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://" + host + "/token", password: is(marker)}
	var storage http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			answer(w, 400, "Only one auth mechanism allowed") // as S3 has it
			return
		}
		f.ranged(w, r, f.layer)
	})
	f.HTTPS("bucket.s3.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { storage.ServeHTTP(w, r) }))
	f.HTTPS(host, withToken(i, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isBlob(r) {
			w.Header().Set("Location", "https://bucket.s3.example.com/x?X-Amz-Signature=sig")
			w.WriteHeader(307)
			return
		}
		f.inner.ServeHTTP(w, r)
	})))
	c := f.client(egress.Rules{}, login(marker))
	f.reads(c)
	if got, err := blob(t, c, f.blob, 17, 100); err != nil || got != string(f.layer[17:117]) {
		t.Errorf("%q, %v", got, err)
	}
	for status, kind := range map[int]error{401: oci.ErrUnavailable, 403: oci.ErrUnavailable, 404: oci.ErrUnavailable, 429: oci.ErrTooManyRequests, 200: oci.ErrDigestInvalid} {
		storage = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", bearerAt("https://bucket.s3.example.com/steal")+`, Basic realm="x"`)
			w.WriteHeader(status)
			fmt.Fprint(w, "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
		})
		_, err := blob(t, c, f.blob, 0, -1)
		var e *client.Error
		if !errors.As(err, &e) || !errors.Is(err, kind) || client.Refused(err) || e.Place != client.PlaceStorage || e.Login || status != 200 && e.Host != "bucket.s3.example.com" {
			t.Errorf("%d: %v (%+v)", status, err, e)
		}
		if strings.Contains(err.Error(), "sig") {
			t.Errorf("a signature is in %v", err)
		}
	}
	if n := strings.Count(fmt.Sprint(f.took()), "instead"); n != 0 {
		t.Errorf("the login was renewed for another host's sake: %q", f.took())
	}
	f.nobodyElse(marker, host)
	f.nobodyElse("token-", host)
}

// Answers of token servers that are too long, no tokens, or would break a header.
func TestP18TokensThatAreNone(t *testing.T) {
	for name, body := range map[string]string{
		"too long": `{"token":"` + strings.Repeat("x", 1<<20) + `"}`, "a web page": "<html>" + marker, "nothing": "", "an array": `["x"]`, "no token": `{"expires_in":5}`,
		"a line break": `{"token":"a\r\nX-Evil: 1"}`, "a space": `{"token":"a b"}`, "not ASCII": `{"token":"ü"}`, "a number": `{"token":5}`,
	} {
		f := newFixture(t)
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				answer(w, 200, body)
				return
			}
			challenging(bearerAt("https://"+host+"/token")).ServeHTTP(w, r)
		}))
		_, err := f.client(egress.Rules{}, login(marker)).Manifest(t.Context(), repo, "v1")
		var e *client.Error
		if !errors.As(err, &e) || e.Place != client.PlaceTokenServer || client.Refused(err) || !errors.Is(err, oci.ErrUnavailable) || strings.Contains(err.Error(), marker) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Challenges that lead nowhere are answers, not loops.
func TestChallengesThatLeadNowhere(t *testing.T) {
	for _, text := range []string{"", "Negotiate", "Bearer", `Bearer realm=""`, `Bearer realm="/token"`, `Bearer realm="token"`, `Bearer realm="%zz"`, `Bearer realm="https://"`, `Bearer realm="a",realm="b"`, `Digest realm="x",nonce="y"`, strings.Repeat("Basic ", 5000)} {
		f := newFixture(t)
		f.HTTPS(host, challenging(text))
		for _, logins := range [][]credential.Credential{nil, {login(marker)}} {
			_, err := f.client(egress.Rules{}, logins...).Manifest(t.Context(), repo, "v1")
			if !errors.Is(err, oci.ErrUnauthorized) || client.Refused(err) {
				t.Errorf("%.40q: %v", text, err)
			}
		}
		f.nobodyElse(marker)
	}
}

// CVE-2020-15157 and GHSA-qvqc-4c52-x6qp: a manifest that says where its layers are. Nobody is asked there: layers come
// from the registry, by its own redirects only.
func TestP18ForeignLayers(t *testing.T) {
	f := newFixture(t)
	evil := f.HTTPS("evil.com", challenging(bearerAt("https://evil.com/token")))
	foreign := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2,"urls":["https://evil.com/c"]},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":%q,"size":%d,"urls":["https://evil.com/l","https://r.example.com@evil.com/l"]}]}`,
		f.put([]byte("{}")), f.blob, len(f.layer))
	f.local("PUT", "/v2/"+repo+"/manifests/foreign", foreign, "application/vnd.oci.image.manifest.v1+json")
	f.HTTPS(host, basic(f.inner, marker))
	c := f.client(egress.Rules{}, login(marker))
	if m, err := c.Manifest(t.Context(), repo, "foreign"); err != nil || string(m.Content) != foreign {
		t.Errorf("%v", err)
	}
	if got, err := blob(t, c, f.blob, 0, -1); err != nil || got != string(f.layer) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if evil.Received() != "" {
		t.Error("evil.com was asked")
	}
}

// Over another host and back: the login stayed behind on the way, so that there is none says nothing about it.
func TestP18ThereAndBackIsNoRefusal(t *testing.T) {
	f := newFixture(t)
	f.HTTPS("evil.com", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://"+host+"/back")
		w.WriteHeader(307)
	}))
	f.HTTPS(host, basic(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://evil.com/")
		w.WriteHeader(307)
	}), marker))
	_, err := f.client(egress.Rules{}, login(marker), login("other")).Manifest(t.Context(), repo, "v1")
	if err == nil || client.Refused(err) || errors.Is(err, oci.ErrUnauthorized) || strings.Contains(fmt.Sprint(f.took()), "instead") {
		t.Errorf("%v; logins %q", err, f.took())
	}
	f.nobodyElse(marker, host)
}

// A registry, and its token server, that bring up a login later: where another was sent, and where none was.
func TestP18LoginsStayHiddenAfterwards(t *testing.T) {
	f := newFixture(t)
	known := "nobody" // to the registry
	echo := func(w http.ResponseWriter) {
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"what of %s?"}]}`, known)
	}
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password == marker {
			known = password
		}
		if r.URL.Path != "/token" {
			w.Header().Set("WWW-Authenticate", bearerAt("https://"+host+"/token"))
		}
		echo(w)
	}))
	c := f.client(egress.Rules{}, login(marker), login("another"))
	for _, k := range []*client.Client{c, c.Anonymous()} {
		_, err := k.Manifest(t.Context(), repo, "v1")
		var e *client.Error
		if !errors.As(err, &e) || !strings.Contains(e.Text, "[hidden]") || strings.Contains(fmt.Sprintf("%v %+v", err, e.Evidence), marker) {
			t.Errorf("%v, %+v", err, e)
		}
	}
	_, err := f.client(egress.Rules{}).Manifest(t.Context(), repo, "v1")
	if err == nil || !strings.Contains(err.Error(), marker) {
		t.Errorf("the registry says nothing, so that this proves nothing: %v", err)
	}
}

// A token server named after the password: the refusal names hosts, and went into logs as it was.
func TestP18RealmsNamedAfterTheLogin(t *testing.T) {
	const secret = "hunter2-marker-in-lower-case"
	f := newFixture(t)
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, sent := r.BasicAuth(); sent {
			challenging(bearerAt("https://"+password+".evil.com/token")).ServeHTTP(w, r)
			return
		}
		basic(nil).ServeHTTP(w, r)
	}))
	_, err := f.client(egress.Rules{}, login(secret)).Manifest(t.Context(), repo, "v1")
	var e *client.Error
	if !errors.As(err, &e) || !client.Withheld(err) || !strings.Contains(err.Error(), "[hidden].evil.com is not a token server") {
		t.Fatalf("%v", err)
	}
	var cause *egress.Error
	if errors.As(err, &cause); strings.Contains(fmt.Sprintf("%v %+v %+v %+v", err, *e, *cause, e.Evidence), secret) {
		t.Errorf("the login is in %v, %+v", err, *cause)
	}
}
