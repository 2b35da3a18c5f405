package acr_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/acr"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/identity/azuretest"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/secret"
)

// A place is a cloud with a registry that holds ml/train:v2, and a way there.
type place struct {
	*azuretest.Cloud
	registry *azuretest.Registry
	world    *egresstest.World
	server   *egresstest.Server
	out      *egress.Client
	subject  *acr.Exchanger
	waited   time.Duration // in all pauses
}

func newPlace(t *testing.T) *place { return newPlaceIn(t, "io") }

func newPlaceIn(t *testing.T, tld string) *place {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") {
			t.Setenv(name, "")
		}
	}
	behind := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	fill(t, behind)
	p := &place{Cloud: azuretest.NewIn(t, tld), world: egresstest.New(t)}
	p.registry = p.Cloud.Registry("myregistry", behind)
	p.server = p.world.HTTPS(p.registry.Host, p.Cloud)
	p.out = p.way(t, p.registry.Host)
	p.subject = acr.New(azure.New(azure.Config{Transport: p.Transport()}))
	p.subject.PauseWith(func(ctx context.Context, d time.Duration) error {
		p.waited += d
		if p.waited > 30*time.Second {
			return context.DeadlineExceeded
		}
		return ctx.Err()
	})
	return p
}

func (p *place) way(t *testing.T, host string) *egress.Client {
	t.Helper()
	out, err := egress.New(egress.Rules{Host: host, CA: p.world.CA()}, p.world.Network())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

// request is for the node's own identity.
func (p *place) request() exchange.Request {
	return exchange.Request{Host: p.registry.Host, Hosts: []string{p.registry.Host}, Identity: true, Out: p.out}
}

// with is for a secret of that content.
func (p *place) with(content string) exchange.Request {
	r := p.request()
	r.Identity, r.Secret = false, secret.NewValue([]byte(content))
	return r
}

// node is a managed identity of the machine.
func (p *place) node(t *testing.T) *azuretest.Application {
	t.Helper()
	app := p.Assign("pier-nodes")
	t.Setenv("AZURE_CLIENT_ID", app.Client)
	return app
}

// object writes JSON of keys and values in turn.
func object(pairs ...string) string {
	fields := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = pairs[i+1]
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// fill puts an image into the registry behind the door.
func fill(t *testing.T, behind http.Handler) {
	t.Helper()
	server := httptest.NewServer(behind)
	defer server.Close()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, repository := range []string{"ml/train:v2", "ml/other:v1"} {
		reference, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/" + repository)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(reference, image); err != nil {
			t.Fatal(err)
		}
	}
}

// pull fetches all of an image with a login.
func (p *place) pull(t *testing.T, login credential.Credential, repository, tag string) error {
	t.Helper()
	c, err := client.New(client.Config{Rules: egress.Rules{Host: p.registry.Host, CA: p.world.CA()}, Network: p.world.Network(), Credentials: fixed{login}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Manifest(t.Context(), repository, tag)
	if err != nil {
		return err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(got.Content, &manifest); err != nil {
		return err
	}
	if len(manifest.Layers) != 2 {
		return fmt.Errorf("%d layers", len(manifest.Layers))
	}
	for _, layer := range append(manifest.Layers, manifest.Config) {
		blob, err := c.Blob(t.Context(), repository, layer.Digest, 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, blob.Body) // verified at its end
		_ = blob.Body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

type fixed struct{ login credential.Credential }

func (f fixed) Credential(context.Context, *credential.Credential) (credential.Credential, error) {
	return f.login, nil
}

// refuses wants an error of a kind with words in it or its hint, and no secret that was ever made here.
func (p *place) refuses(t *testing.T, r exchange.Request, kind error, words ...string) {
	t.Helper()
	login, err := p.subject.Exchange(t.Context(), r)
	if !errors.Is(err, kind) || !login.Empty() {
		t.Errorf("got %v, %v, want %v", login, err, kind)
		return
	}
	text := err.Error() + "\n" + exchange.HintOf(err)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in: %s", word, text)
		}
	}
	if exchange.HintOf(err) == "" {
		t.Errorf("no hint with %v", err)
	}
	exchangetest.Silent(t, err, p.Secrets()...)
	if strings.Contains(text, "hunter2") {
		t.Errorf("the secret is quoted: %s", text)
	}
}
