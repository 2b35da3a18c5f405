package server_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/ids"
	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/server"
)

// A joinedNode is a node of acme with a key of its own.
type joinedNode struct {
	api.Node
	k   *kit
	key *tokens.Key
}

// join makes a node as an agent does: a join token, then a key with its proof.
func (k *kit) join(name string) joinedNode {
	k.t.Helper()
	made, err := k.client("alice").CreateJoinToken(k.t.Context(), "acme", api.NewJoinToken{Name: name})
	k.must(err)
	key, err := tokens.Generate()
	k.must(err)
	joined, err := k.joinWith(made.Text, key)
	k.must(err)
	return joinedNode{joined.Node, k, key}
}

func (k *kit) joinWith(text string, key *tokens.Key) (api.Joined, error) {
	k.t.Helper()
	token, _, err := ids.SplitJoin(text)
	k.must(err)
	proof, err := key.SignNode(tokens.NodeClaims{Node: key.ID(), Audience: []string{tokens.JoinAudience(token)}, IssuedAt: time.Now(), Expires: time.Now().Add(time.Minute), ID: "proof"})
	k.must(err)
	client, err := api.NewClient(api.ClientConfig{URL: k.url, Token: token})
	k.must(err)
	k.t.Cleanup(client.CloseIdle)
	host := "machine-" + strings.ReplaceAll(key.ID(), "_", "-")
	return client.JoinNode(k.t.Context(), api.Join{Hostname: host, PublicKey: tokens.PublicText(key.Public()), Proof: proof, Version: "v1"})
}

// client is the node's own.
func (n joinedNode) client() *api.Client {
	n.k.t.Helper()
	sign := func() string {
		text, err := n.key.SignNode(tokens.NodeClaims{Node: n.ID, Audience: []string{publicURL}, IssuedAt: time.Now(), Expires: time.Now().Add(time.Minute), ID: "jwt_x", Version: "v2"})
		n.k.must(err)
		return text
	}
	client, err := api.NewClient(api.ClientConfig{URL: n.k.url, Sign: sign})
	n.k.must(err)
	n.k.t.Cleanup(client.CloseIdle)
	return client
}

// A join token joins, once, and is nothing to any other route.
func TestJoin(t *testing.T) {
	k := newKit(t)
	made, err := k.client("alice").CreateJoinToken(t.Context(), "acme", api.NewJoinToken{Name: "gpu-1"})
	k.must(err)
	for _, o := range k.operations() {
		if o.id == "join-node" {
			continue
		}
		if status, _, text := k.send(o.method, placeholder.ReplaceAllString(o.path, "x"), made.Text, ""); status != http.StatusUnauthorized {
			t.Errorf("%s with a join token: %d %s", o.id, status, text)
		}
	}
	if status, _, text := k.send("GET", "/token?scope=repository:acme/x:pull", made.Text, ""); status != http.StatusUnauthorized {
		t.Errorf("the token service takes a join token: %d %s", status, text)
	}
	key, err := tokens.Generate()
	k.must(err)
	joined, err := k.joinWith(made.Text, key)
	if err != nil || joined.Node.Name != "gpu-1" || joined.Node.Organization != "acme" || joined.URL != publicURL || joined.OrganizationID == "" {
		t.Fatalf("joined as %+v, %v", joined, err)
	}
	again, err := k.joinWith(made.Text, key)
	if err != nil || again.Node.ID != joined.Node.ID {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	other, err := tokens.Generate()
	k.must(err)
	if _, err := k.joinWith(made.Text, other); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("with another key: %v", err)
	}
	if strings.Contains(k.log.String(), made.Text) {
		t.Error("the join token is in the log")
	}
}

// With --tls self the join token carries the hash of the server's own authority.
func TestJoinTokenNamesTheAuthority(t *testing.T) {
	sum := sha256.Sum256([]byte("certificate"))
	k := newKit(t, func(c *server.Config) { c.Authority = sum[:] })
	made, err := k.client("alice").CreateJoinToken(t.Context(), "acme", api.NewJoinToken{})
	k.must(err)
	if _, authority, err := ids.SplitJoin(made.Text); err != nil || string(authority) != string(sum[:]) {
		t.Errorf("%v, %v", authority, err)
	}
}

// A revoked node's long polls end at once, and nothing that it signs counts any more.
func TestRevocationEndsPolls(t *testing.T) {
	k := newKit(t)
	n := k.join("gpu-1")
	client := n.client()
	snapshot, _, err := client.Snapshot(t.Context(), 0, 0)
	k.must(err)
	if len(snapshot.Organizations) != 1 || snapshot.Organizations[0].Organization.Name != "acme" {
		t.Errorf("its snapshot: %+v", snapshot.Organizations)
	}
	ended := make(chan error, 2)
	before := strings.Count(k.log.String(), "/node/")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { _, _, err := client.Snapshot(ctx, snapshot.Version, api.MaxWait); ended <- err }()
	go func() { _, _, err := client.TakeWork(ctx, 1, api.MaxWait); ended <- err }()
	until(t, "it was seen", func() bool {
		shown, err := k.client("alice").Node(t.Context(), "acme", "gpu-1")
		return err == nil && shown.Version == "v2" && shown.LastSeenAt != nil
	})
	if strings.Count(k.log.String(), "/node/") != before {
		t.Fatal("a poll ended by itself")
	}
	revocation, err := k.client("alice").RevokeNode(t.Context(), "acme", "gpu-1")
	k.must(err)
	if revocation.Node.ID != n.ID || revocation.Executions == nil || revocation.LostKeys == nil {
		t.Errorf("revoked: %+v", revocation)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, pierhead.ErrNotAllowed) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("a poll ended with %v", err)
		}
	}
	if _, err := client.NodeExecutions(t.Context()); !errors.Is(err, api.ErrUnauthenticated) || !strings.Contains(err.Error(), "gpu-1 was revoked") {
		t.Errorf("afterwards: %v", err)
	}
}

// An organization's node answers its own organization's questions and nobody else's.
func TestQuestionsGoToTheOrganizationsNodes(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.ExplainWait = 100 * time.Millisecond })
	k.projects()
	client := k.join("gpu-1").client()
	for owner, c := range map[string]string{"umbrella": "eve", "alice": "alice"} {
		request := api.ExplainRequest{Image: "images.example/a:b", Organization: owner}
		if owner == "alice" {
			request = api.ExplainRequest{Image: "images.example/a:b", Project: "alice/own"}
		}
		_, _, err := client.TakeWork(t.Context(), 0, 0)
		k.must(err)
		explained := make(chan error, 1)
		go func() { _, err := k.client(c).Explain(t.Context(), request); explained <- err }()
		for done := false; !done; {
			select {
			case err := <-explained:
				k.must(err)
				done = true
			default:
				if _, questions, err := client.TakeWork(t.Context(), 0, 0); err != nil || len(questions) > 0 {
					t.Fatalf("of %s: %v, %v", owner, questions, err)
				}
			}
		}
	}
}
