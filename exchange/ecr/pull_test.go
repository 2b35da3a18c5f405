package ecr_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
)

// at lets a client reach a server by any host's name.
func at(t *testing.T, h http.Handler) remote.Option {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true // its certificate is for another name
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return remote.WithTransport(transport)
}

func as(c credential.Credential) remote.Option {
	return remote.WithAuth(&authn.Basic{Username: c.Username(), Password: c.Password()})
}

// A14 to A16, I7, I9: what comes out is a login with which a client not of ours pushes to and pulls from a registry that takes
// ECR's passwords only, as far as the policies of both accounts allow.
func TestPull(t *testing.T) {
	w := newWorld(t)
	w.role.Allow("ecr:GetDownloadUrlForLayer", "*")
	const other = "999999999999.dkr.ecr.eu-west-1.amazonaws.com"
	w.SetRegistry(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	there := at(t, w.Cloud)
	login := func(r exchange.Request) credential.Credential {
		t.Helper()
		c, err := w.Exchange(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	pull := func(image string, r exchange.Request) error {
		t.Helper()
		reference, err := name.ParseReference(image)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = reference.Context().RegistryStr()
		found, err := remote.Image(reference, there, as(login(r)))
		if err != nil {
			return err
		}
		layers, err := found.Layers()
		if err != nil {
			return err
		}
		_, err = layers[0].Compressed()
		return err
	}

	// The first push makes the repository.
	image, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	push := exchange.Request{Host: ireland, Repository: "team/app", Secret: w.keys(), Push: true}
	tag, _ := name.NewTag(ireland + "/team/app:1")
	if err := remote.Write(tag, image, there, as(login(push))); err == nil || !strings.Contains(err.Error(), "NAME_UNKNOWN") {
		t.Errorf("before there is a repository: %v", err)
	}
	if err := w.CreateRepository(t.Context(), push); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, there, as(login(push))); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]exchange.Request{"the node's identity": {Identity: true}, "an access key": {Secret: w.keys()}} {
		if err := pull(ireland+"/team/app:1", r); err != nil {
			t.Errorf("with %s: %v", what, err)
		}
	}

	// Another account's repository opens by its own policy only.
	if err := pull(other+"/team/app:1", exchange.Request{Identity: true}); err == nil || !strings.Contains(err.Error(), "DENIED") {
		t.Errorf("without the other account's policy: %v", err)
	}
	w.Repository("arn:aws:ecr:eu-west-1:999999999999:repository/team/app", w.role.ARN)
	if err := pull(other+"/team/app:1", exchange.Request{Identity: true}); err != nil {
		t.Errorf("with the other account's policy: %v", err)
	}

	// The keys themselves are no login, and neither is a password of another region.
	direct := remote.WithAuth(&authn.Basic{Username: w.key.ID, Password: w.key.Secret})
	if _, err := remote.Image(tag, there, direct); err == nil {
		t.Error("the registry takes the keys themselves")
	}
	if _, err := remote.Image(tag, there, as(login(exchange.Request{Host: account + ".dkr.ecr.eu-central-1.amazonaws.com", Identity: true}))); err == nil {
		t.Error("the registry takes a password of another region")
	}
}

func TestPublicPull(t *testing.T) {
	w := newWorld(t)
	content := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	image, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, _ := name.NewTag("public.ecr.aws/acme/app:1")
	if err := remote.Write(tag, image, at(t, content)); err != nil {
		t.Fatal(err)
	}
	w.SetRegistry(content)
	there := at(t, w.Cloud)
	c, err := w.Exchange(t.Context(), exchange.Request{Host: "public.ecr.aws", Secret: w.keys()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(tag, there, as(c)); err != nil {
		t.Error(err)
	}
	if _, err := remote.Image(tag, there); err != nil {
		t.Errorf("anonymously: %v", err)
	}
	w.Revoke(c.Password())
	if _, err := remote.Image(tag, there, as(c)); err == nil {
		t.Error("a stale password is taken")
	}
}
