package gcp_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/googletest"
	"pierhead.dev/pierhead/secret"
)

// The login that comes out pulls an image from a registry that takes this Google's tokens and nothing else; and only
// where its principal may read.
func TestV8LoginPullsAnImage(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	w := newWorld(t)
	reference, err := name.ParseReference(host + "/acme-prod/ml/train:v2.0")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	with := func(c credential.Credential) []remote.Option {
		return []remote.Option{remote.WithTransport(w.Transport()), remote.WithAuth(&authn.Basic{Username: c.Username(), Password: c.Password()})}
	}
	reader, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: secret.NewValue(w.Account(robot).Key())})
	w.good(t, reader, err, robot)
	writer, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: secret.NewValue(w.Account(target).Key()), Push: true})
	w.good(t, writer, err, target)

	refused(t, remote.Write(reference, image, with(writer)...), http.StatusForbidden)
	w.Grant(target, googletest.Upload, host+"/acme-prod/ml")
	w.Grant(target, googletest.Download, host+"/acme-prod/ml")
	if err := remote.Write(reference, image, with(writer)...); err != nil {
		t.Fatal(err)
	}
	_, err = remote.Image(reference, with(reader)...)
	refused(t, err, http.StatusForbidden)
	w.Grant(robot, googletest.Download, host+"/acme-prod")
	pulled, err := remote.Image(reference, with(reader)...)
	if err != nil {
		t.Fatal(err)
	}
	digest, err1 := pulled.Digest()
	want, err2 := image.Digest()
	if err := errors.Join(err1, err2); err != nil || digest != want {
		t.Errorf("%v, %v, want %v", digest, err, want)
	}
	layers, err := pulled.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatal(err)
	}
	for _, l := range layers {
		content, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		_ = content.Close()
	}
	other, err := random.Image(1<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, remote.Write(reference, other, with(reader)...), http.StatusForbidden)
	anonymous := remote.WithTransport(w.Transport())
	_, err = remote.Image(reference, anonymous)
	refused(t, err, http.StatusForbidden)
	w.Grant(googletest.Everybody, googletest.Download, host+"/acme-prod/ml")
	if _, err = remote.Image(reference, anonymous); err != nil {
		t.Errorf("what everybody may read: %v", err)
	}
	w.EndTokens()
	_, err = remote.Image(reference, with(reader)...)
	refused(t, err, http.StatusUnauthorized)
}

func refused(t *testing.T, err error, status int) {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) || e.StatusCode != status {
		t.Errorf("%v, want %d", err, status)
	}
}

// FuzzSecret feeds foreign content: whatever it is, the answer is a login or an error that quotes nothing, and nobody
// beyond Google is asked.
func FuzzSecret(f *testing.F) {
	w := &world{Cloud: googletest.New()}
	for _, seed := range []string{string(w.Account(robot).Key()), `{"type":"external_account","audience":"x"}`, `{"username":"_json_key","password":"{}","server":"gcr.io"}`,
		`{"auths":{"gcr.io":{"auth":"b2F1dGgyYWNjZXNzdG9rZW46eA=="}}}`, `{"type":"service_account","token_uri":"https://oauth2.googleapis.com/token"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		w := newWorld(t)
		for _, op := range []googletest.Operation{googletest.OpToken, googletest.OpExchange} {
			w.Trouble(op, googletest.Trouble{Status: http.StatusForbidden})
		}
		c, err := w.Exchange(t.Context(), exchange.Request{Host: "gcr.io", Secret: secret.NewValue([]byte(content))})
		if err == nil && (c.Empty() || c.Username() != "oauth2accesstoken" || !c.For("gcr.io")) {
			t.Errorf("%v is no login", c)
		}
		if strays := w.Strays(); len(strays) > 0 {
			t.Errorf("asked of %q", strays)
		}
		if text := fmt.Sprint(err); len(content) > 60 && strings.Contains(text, content) {
			t.Error("the secret is in the error")
		}
	})
}
