package k8s_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/k8s"
	"pierhead.dev/pierhead/secret/k8stest"
	"pierhead.dev/pierhead/secret/secrettest"
)

const marker = "hunter2"

// A pod is a place to ask from: an API server behind TLS, and what Kubernetes mounts.
type pod struct {
	cluster   *k8stest.Cluster
	server    *httptest.Server
	tokenFile string
	config    k8s.Config
}

func newPod(t *testing.T, names ...string) *pod {
	p := &pod{cluster: k8stest.New(), tokenFile: filepath.Join(t.TempDir(), "token")}
	p.server = httptest.NewUnstartedServer(p.cluster)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are some tests' point
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	ca, namespace := filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "namespace")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})))
	write(t, namespace, "pierhead\n")
	write(t, p.tokenFile, p.cluster.Token("pierhead", "agent"))
	p.cluster.Allow("pierhead", "agent", "pierhead", names...)
	p.config = k8s.Config{NamespaceFile: namespace, Cluster: func() (*rest.Config, error) {
		return &rest.Config{Host: p.server.URL, BearerTokenFile: p.tokenFile, TLSClientConfig: rest.TLSClientConfig{CAFile: ca}}, nil
	}}
	return p
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, text string) secret.Ref {
	t.Helper()
	ref, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestSource(t *testing.T) {
	p := newPod(t, "registry", "absent")
	subject := secrettest.Subject{
		Source: k8s.New(p.config), Absent: parse(t, "k8s:absent"),
		Bad: []string{"k8s:Upper", "k8s:under_score", "k8s:-x", "k8s:x-", "k8s:a..b", "k8s:registry/", "k8s:registry/a/b", "k8s:registry/..", "k8s:registry/a%2fb", "k8s:registry#key", "k8s://pierhead/registry", "k8s:pierhead:registry", "k8s:" + strings.Repeat("x", 254)},
	}
	for name, reference := range map[string]string{"without KEY": "k8s:registry", "with KEY": "k8s:registry/login"} {
		subject.Put = func(_ *testing.T, content []byte) secret.Ref {
			data := map[string][]byte{"login": content}
			if strings.Contains(reference, "/") {
				data["another"] = []byte("other")
			}
			p.cluster.Put("pierhead", "registry", "Opaque", data)
			return parse(t, reference)
		}
		t.Run(name, func(t *testing.T) { secrettest.Test(t, subject) })
	}
	if n := p.cluster.Calls("list") + p.cluster.Calls("other"); n != 0 {
		t.Errorf("%d requests were no get by name", n)
	}
}

// I6 and I7: pull secrets as kubectl, Helm charts and people make them.
func TestI6Contents(t *testing.T) {
	p := newPod(t, "s")
	source := k8s.New(p.config)
	auth := base64.StdEncoding.EncodeToString([]byte("ci:" + marker))
	entry := `{"ghcr.io":{"auth":"` + auth + `"}}`
	for name, c := range map[string]struct {
		kind string
		data map[string]string
		ref  string
		want string // content, or "" for an error
		text string // part of that error
	}{
		"dockerconfigjson":           {"kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{"auths":` + entry + `}`}, "k8s:s", `{"auths":` + entry + `}`, ""},
		"with docker's other fields": {"kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{"HttpHeaders":{"User-Agent":"x"},"auths":` + entry + `}`}, "k8s:s", `{"auths":` + entry + `}`, ""},
		"dockerconfigjson by key":    {"kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": `{"auths":` + entry + `}`}, "k8s:s/.dockerconfigjson", `{"auths":` + entry + `}`, ""},
		"encoded twice":              {"kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": base64.StdEncoding.EncodeToString([]byte(marker))}, "k8s:s", "", "not the JSON"},
		"no auths":                   {"kubernetes.io/dockerconfigjson", map[string]string{".dockerconfigjson": entry}, "k8s:s", "", `no "auths"`},
		"dockercfg":                  {"kubernetes.io/dockercfg", map[string]string{".dockercfg": entry}, "k8s:s", `{"auths":` + entry + `}`, ""},
		"dockercfg by key":           {"kubernetes.io/dockercfg", map[string]string{".dockercfg": entry}, "k8s:s/.dockercfg", `{"auths":` + entry + `}`, ""},
		"dockercfg is no object":     {"kubernetes.io/dockercfg", map[string]string{".dockercfg": `["` + marker + `"]`}, "k8s:s", "", "not the JSON"},
		"basic-auth":                 {"kubernetes.io/basic-auth", map[string]string{"username": "ci", "password": marker + "<&>"}, "k8s:s", `{"password":"` + marker + `<&>","username":"ci"}`, ""},
		"seed 000 in keys":           {"Opaque", map[string]string{"username": "ci", "password": marker, "server": "ghcr.io"}, "k8s:s", `{"password":"` + marker + `","server":"ghcr.io","username":"ci"}`, ""},
		"a login and more":           {"Opaque", map[string]string{"username": "ci", "password": marker, "note": "x"}, "k8s:s", "", "several keys"},
		"password is not text":       {"Opaque", map[string]string{"username": "ci", "password": marker + "\xff"}, "k8s:s", "", "not text"},
		"two keys":                   {"Opaque", map[string]string{"a": marker, "b": marker}, "k8s:s", "", "several keys"},
		"two keys, one named":        {"Opaque", map[string]string{"a": marker, "b": "x"}, "k8s:s/a", marker, ""},
		"a key that is not there":    {"Opaque", map[string]string{"a": marker, "b": "x"}, "k8s:s/c", "", "no key c"},
		"no keys":                    {"Opaque", nil, "k8s:s", "", "empty"},
	} {
		data := map[string][]byte{}
		for key, text := range c.data {
			data[key] = []byte(text)
		}
		p.cluster.Put("pierhead", "s", c.kind, data)
		value, err := source.Get(t.Context(), parse(t, c.ref))
		switch {
		case c.want != "" && (err != nil || string(value.Reveal()) != c.want):
			t.Errorf("%s: %v, %v", name, value, err)
		case c.want == "" && (err == nil || !strings.Contains(err.Error(), c.text) || secret.HintOf(err) == "" && c.text != "empty"):
			t.Errorf("%s: %v", name, err)
		}
		silent(t, p, err)
	}
}

func silent(t *testing.T, p *pod, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, secret.HintOf(err))
	for _, s := range p.cluster.Secrets() {
		if len(s) > 5 && strings.Contains(text, s) {
			t.Errorf("a secret is in the error: %s", strings.ReplaceAll(text, s, "LEAK"))
		}
	}
}

func TestRefusals(t *testing.T) {
	p := newPod(t, "registry")
	p.cluster.Put("pierhead", "registry", "Opaque", map[string][]byte{"login": []byte(marker)})
	p.cluster.Put("pierhead", "other", "Opaque", map[string][]byte{"login": []byte(marker)})
	source := k8s.New(p.config)
	_, err := source.Get(t.Context(), parse(t, "k8s:other"))
	if !errors.Is(err, secret.ErrNotAllowed) || !strings.Contains(err.Error(), "system:serviceaccount:pierhead:agent") ||
		!strings.Contains(secret.HintOf(err), `{apiGroups: [""], resources: [secrets], resourceNames: [other], verbs: [get]}`) {
		t.Errorf("403: %v (%s)", err, secret.HintOf(err))
	}
	silent(t, p, err)
	_, err = source.Get(t.Context(), parse(t, "k8s:pierhead/registry/login"))
	if !errors.Is(err, secret.ErrRef) || !strings.Contains(err.Error(), "names no namespace") {
		t.Errorf("a namespace: %v", err)
	}
	token, _ := os.ReadFile(p.tokenFile)
	p.cluster.End(string(token))
	_, err = source.Get(t.Context(), parse(t, "k8s:registry"))
	if !errors.Is(err, secret.ErrNotAllowed) || !strings.Contains(err.Error(), "does not know") || secret.HintOf(err) == "" {
		t.Errorf("401: %v", err)
	}
	silent(t, p, err)
}

// A token is read anew: the kubelet writes a new one before the old one ends.
func TestTokenRotates(t *testing.T) {
	p := newPod(t, "registry")
	p.cluster.Put("pierhead", "registry", "Opaque", map[string][]byte{"login": []byte(marker)})
	if _, err := k8s.New(p.config).Get(t.Context(), parse(t, "k8s:registry")); err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(p.tokenFile)
	write(t, p.tokenFile, p.cluster.Token("pierhead", "agent"))
	p.cluster.End(string(old))
	if value, err := k8s.New(p.config).Get(t.Context(), parse(t, "k8s:registry")); err != nil || string(value.Reveal()) != marker {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	p := newPod(t, "registry")
	p.cluster.Put("pierhead", "registry", "Opaque", map[string][]byte{"login": []byte(marker)})
	throttle := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "0")
		k8stest.Status(w, http.StatusTooManyRequests, "TooManyRequests", "slow down")
	}
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("redirected: %v", r.Header) }))
	defer foreign.Close()
	for name, c := range map[string]struct {
		times  int
		answer http.HandlerFunc
		text   string // "" when it is got over
	}{
		"throttled":      {2, throttle, ""},
		"throttled long": {1000, throttle, "throttling"},
		"broken off":     {1000, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "in time"}, // client-go tries again every second,
		"garbled": {1000, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"kind":"Secret","data":{"login":"`+marker+`!"}}`)
		}, "no Kubernetes secret"},
		"a web page": {1000, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>"+marker)
		}, "Bad Gateway"},
		"endless":   {1000, func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "no Kubernetes secret"},
		"redirects": {1000, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, foreign.URL, http.StatusFound) }, "redirects"},
		"slow":      {1000, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time"},
	} {
		t.Run(name, func(t *testing.T) {
			p.cluster.Fault(c.times, c.answer)
			config := p.config
			if c.text == "in time" {
				config.Within = 50 * time.Millisecond
			}
			value, err := k8s.New(config).Get(t.Context(), parse(t, "k8s:registry"))
			switch {
			case c.text == "" && (err != nil || string(value.Reveal()) != marker):
				t.Errorf("%v", err)
			case c.text != "" && (!errors.Is(err, secret.ErrUnreachable) || !strings.Contains(err.Error(), c.text) || secret.HintOf(err) == ""):
				t.Errorf("%v (%s)", err, secret.HintOf(err))
			}
			silent(t, p, err)
		})
	}
}

// endless writes until nobody reads any more.
func endless(w http.ResponseWriter) {
	chunk := []byte(`{"kind":"Secret","data":{"login":"` + strings.Repeat("A", 1<<20))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestUnreachable(t *testing.T) {
	p := newPod(t)
	other := newPod(t)
	p.server.Close()
	_, err := k8s.New(p.config).Get(t.Context(), parse(t, "k8s:registry"))
	if !errors.Is(err, secret.ErrUnreachable) || !strings.Contains(err.Error(), "cannot be reached") || secret.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	config := other.config
	config.Cluster = func() (*rest.Config, error) {
		return &rest.Config{Host: other.server.URL, BearerTokenFile: other.tokenFile}, nil // without the cluster's CA
	}
	_, err = k8s.New(config).Get(t.Context(), parse(t, "k8s:registry"))
	if !errors.Is(err, secret.ErrUnreachable) || !strings.Contains(err.Error(), "another authority") {
		t.Errorf("%v", err)
	}
	if n := other.cluster.Calls("get"); n != 0 {
		t.Errorf("%d requests with the token went to a server of another authority", n)
	}
}

func TestOutsideOfAnyCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := k8s.New(k8s.Config{}).Get(t.Context(), parse(t, "k8s:registry"))
	if !errors.Is(err, secret.ErrUnknownScheme) || !strings.Contains(err.Error(), "does not run in a Kubernetes cluster") || secret.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// What is read is a name and perhaps a key, and never a way out of the namespace.
func FuzzReference(f *testing.F) {
	for _, text := range []string{"k8s:registry", "k8s:registry/login", "k8s:a.b/.dockerconfigjson", "k8s:ns/name/key", "k8s:x/..", "k8s:a%2fb", "k8s:a?b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := secret.Parse(text)
		if err != nil {
			return
		}
		printed, err := k8s.Canonical(ref)
		if err != nil {
			if !errors.Is(err, secret.ErrRef) {
				t.Errorf("%v", err)
			}
			return
		}
		if printed != text || strings.Count(printed, "/") > 1 || strings.ContainsAny(printed, "%?#\\") {
			t.Errorf("%q is read as %q", text, printed)
		}
	})
}
