package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/tokens"
)

var joinTests = []test{
	{"JoinTokenMakesOneNode", testJoin},
	{"JoinTokenIsOfNoOtherUse", testJoinTokenOnly},
	{"JoinTokensAreForAdmins", testJoinTokenRights},
	{"JoinIsAtomic", testJoinRace},
	{"JoinNeedsItsProof", testJoinProof},
	{"NodesSignTheirOwnTokens", testNodeTokens},
	{"NodesAreOfOneOrganization", testNodeOfOne},
	{"RevokedAtOnce", testRevoke},
	{"RevokedWithTheLastDataKey", testRevokeKeys},
	{"RevokedNodesDoNotHoldAnOrganization", testRevokedAndDeleted},
}

// An agent is a node's own side: its key, and who it became.
type agent struct {
	w      *world
	key    *tokens.Key
	joined pierhead.Joined
}

// invite makes a join token of acme.
func (w *world) invite(name string) string {
	w.t.Helper()
	_, text, err := w.CreateJoinToken(w.ctx, w.alice, "acme", name, time.Time{})
	w.must(err)
	return text
}

func (w *world) agent() *agent {
	w.t.Helper()
	key, err := tokens.Generate()
	w.must(err)
	return &agent{w: w, key: key}
}

// sign makes a token with the agent's key.
func (a *agent) sign(change ...func(*tokens.NodeClaims)) string {
	a.w.t.Helper()
	now := a.w.clock.Now()
	c := tokens.NodeClaims{Node: a.joined.Node.ID, Audience: []string{URL}, IssuedAt: now, Expires: now.Add(time.Minute), ID: "jwt_x", Version: "v2"}
	for _, f := range change {
		f(&c)
	}
	text, err := a.key.SignNode(c)
	a.w.must(err)
	return text
}

func (a *agent) proof(token string) string {
	return a.sign(func(c *tokens.NodeClaims) { c.Node, c.Audience = a.key.ID(), []string{tokens.JoinAudience(token)} })
}

// join joins with a token.
func (a *agent) join(token string, change ...func(*pierhead.Join)) error {
	c, err := a.w.AuthenticateJoin(a.w.ctx, token)
	if err != nil {
		return err
	}
	join := pierhead.Join{Hostname: "machine", PublicKey: tokens.PublicText(a.key.Public()), Proof: a.proof(token), Version: "v1"}
	for _, f := range change {
		f(&join)
	}
	joined, err := a.w.JoinNode(a.w.ctx, c, join)
	if err == nil {
		a.joined = joined
	}
	return err
}

// joined is a node of acme with its agent.
func (w *world) joined(name string) (*agent, pierhead.Caller) {
	w.t.Helper()
	a := w.agent()
	w.must(a.join(w.invite(name)))
	return a, w.login(a.sign())
}

func testJoin(t *testing.T, w *world) {
	token, first := w.invite("gpu-1"), w.agent()
	w.must(first.join(token))
	n := first.joined.Node
	if n.Name != "gpu-1" || n.Organization != "acme" || n.Version != "v1" || first.joined.URL != URL || first.joined.HasData {
		t.Errorf("joined as %+v", first.joined)
	}
	entry := w.lastEntry(w.alice, "acme", "node.join")
	if entry.Caller != "join:gpu-1" || entry.Object != "node gpu-1" {
		t.Errorf("the log says %+v", entry)
	}
	w.clock.Advance(2 * time.Hour) // the answer was lost, and the agent tries again when the token has expired
	w.must(first.join(token))
	if first.joined.Node.ID != n.ID {
		t.Errorf("the second time it is %+v", first.joined.Node)
	}
	w.wants(w.agent().join(token), pierhead.ErrConflict, "gpu-1", "pier node token create")
	w.wants(first.join(w.invite("")), pierhead.ErrConflict, "data directory")
	_, _, err := w.CreateJoinToken(w.ctx, w.alice, "acme", "gpu-1", time.Time{})
	w.wants(err, pierhead.ErrConflict, "gpu-1")
	w.wants(w.agent().join(w.invite(""), func(j *pierhead.Join) { j.Name = "gpu-1" }), pierhead.ErrConflict, "--name")
	w.wants(w.agent().join(w.invite("x"), func(j *pierhead.Join) { j.Name = "y" }), pierhead.ErrBadInput, "--name")
	w.wants(w.agent().join(w.invite(""), func(j *pierhead.Join) { j.Hostname = "No/Name" }), pierhead.ErrBadInput)
	second := w.agent()
	w.must(second.join(w.invite("")))
	if second.joined.Node.Name != "machine" {
		t.Errorf("named %q", second.joined.Node.Name)
	}
	shown, err := w.Token(w.ctx, w.alice, w.tokenOf(n.ID))
	w.must(err)
	if shown.Kind != pierhead.TokenJoin || shown.NodeID != n.ID || shown.Organization != "acme" {
		t.Errorf("its token is %+v", shown)
	}
}

// tokenOf is the id of the token that made a node.
func (w *world) tokenOf(nodeID string) string {
	w.t.Helper()
	all, err := w.Tokens(w.ctx, w.alice)
	w.must(err)
	i := slices.IndexFunc(all, func(t pierhead.Token) bool { return t.NodeID == nodeID })
	if i < 0 {
		w.t.Fatal("the admin does not see the join token")
	}
	return all[i].ID
}

func testJoinTokenOnly(t *testing.T, w *world) {
	token := w.invite("")
	_, err := w.Authenticate(w.ctx, token)
	w.wants(err, pierhead.ErrNotAllowed)
	c, err := w.AuthenticateJoin(w.ctx, token)
	w.must(err)
	_, err = w.Organizations(w.ctx, c)
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.Nodes(w.ctx, c, "acme")
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.TakeWork(w.ctx, c, 1)
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.Snapshot(w.ctx, c)
	w.wants(err, pierhead.ErrNotFound)
	if actions, err := w.NamespaceActions(w.ctx, c, "acme"); err != nil || len(actions) > 0 {
		t.Errorf("in the hosted registry it may %v, %v", actions, err)
	}
	for _, other := range []string{w.rootToken, "", "pier_join_x_y", token + "x"} {
		_, err := w.AuthenticateJoin(w.ctx, other)
		w.wants(err, pierhead.ErrNotAllowed, "join token")
	}
	w.clock.Advance(time.Hour)
	w.wants(w.agent().join(token), pierhead.ErrNotAllowed, "expired")
	gone := w.invite("gone")
	all, err := w.Tokens(w.ctx, w.alice)
	w.must(err)
	w.must(w.DeleteToken(w.ctx, w.alice, all[slices.IndexFunc(all, func(t pierhead.Token) bool { return t.Name == "gone" })].ID))
	w.wants(w.agent().join(gone), pierhead.ErrNotAllowed)
}

func testJoinTokenRights(_ *testing.T, w *world) {
	create := func(c pierhead.Caller, name string, life time.Duration) error {
		_, _, err := w.CreateJoinToken(w.ctx, c, "acme", name, w.clock.Now().Add(life))
		return err
	}
	for _, c := range []pierhead.Caller{w.root, w.bob, w.robot, w.read, w.node} {
		w.wants(create(c, "", time.Hour), pierhead.ErrNotAllowed)
	}
	w.wants(create(w.eve, "", time.Hour), pierhead.ErrNotFound)
	w.must(create(w.alice, "", 24*time.Hour))
	w.wants(create(w.alice, "", -time.Hour), pierhead.ErrBadInput)
	w.wants(create(w.alice, "", 31*24*time.Hour), pierhead.ErrBadInput, "30 days")
	w.wants(create(w.alice, "Not A Name", time.Hour), pierhead.ErrBadInput)
}

// However many come at once with one token, it makes one node.
func testJoinRace(t *testing.T, w *world) {
	token := w.invite("")
	var made atomic.Int32
	var wait sync.WaitGroup
	for range 16 {
		a := w.agent()
		wait.Go(func() {
			switch err := a.join(token); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, pierhead.ErrConflict):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if made.Load() != 1 {
		t.Errorf("one token made %d nodes", made.Load())
	}
}

func testJoinProof(_ *testing.T, w *world) {
	token, a := w.invite(""), w.agent()
	with := func(proof string) func(*pierhead.Join) { return func(j *pierhead.Join) { j.Proof = proof } }
	w.wants(a.join(token, with("")), pierhead.ErrNotAllowed, "prove")
	w.wants(a.join(token, with(w.agent().proof(token))), pierhead.ErrNotAllowed, "prove")
	w.wants(a.join(token, with(a.proof(w.invite("")))), pierhead.ErrNotAllowed, "prove")
	w.wants(a.join(token, func(j *pierhead.Join) { j.PublicKey = "x" }), pierhead.ErrBadInput, "Ed25519")
	old := a.proof(token)
	w.clock.Advance(30 * time.Minute)
	w.wants(a.join(token, with(old)), pierhead.ErrNotAllowed, "clocks", "30m", "NTP")
	w.must(a.join(token))
}

func testNodeTokens(t *testing.T, w *world) {
	a, c := w.joined("gpu-1")
	if c.Name != "node:gpu-1" || c.NodeID != a.joined.Node.ID || c.NodeOf != w.organizationID("acme") || c.Admin || len(c.Memberships) > 0 || c.TokenID != "key_"+a.key.ID() {
		t.Errorf("the node is %+v", c)
	}
	_, err := w.TakeWork(w.ctx, c, 1)
	w.must(err)
	shown, err := w.Node(w.ctx, w.bob, "acme", "gpu-1")
	w.must(err)
	if shown.LastSeenAt.IsZero() || shown.Version != "v2" || shown.PublicKey == "" {
		t.Errorf("shown as %+v", shown)
	}
	refused := func(text string, words ...string) {
		t.Helper()
		_, err := w.Authenticate(w.ctx, text)
		w.wants(err, pierhead.ErrNotAllowed, words...)
	}
	refused(a.sign(func(c *tokens.NodeClaims) { c.Audience = []string{"https://evil.example"} }), "another server", URL)
	refused(a.sign(func(c *tokens.NodeClaims) { c.Node = w.node.NodeID }), "not valid") // that one has no key
	refused(a.sign(func(c *tokens.NodeClaims) { c.Expires = c.IssuedAt.Add(time.Hour) }), "not valid")
	other := w.agent()
	other.joined = a.joined
	refused(other.sign(), "not valid")
	late := a.sign()
	w.clock.Advance(10 * time.Minute)
	refused(late, "clocks", "10m")
	refused(a.sign(func(c *tokens.NodeClaims) {
		c.IssuedAt, c.Expires = c.IssuedAt.Add(7*time.Minute), c.Expires.Add(7*time.Minute)
	}), "clocks", "ahead", "7m")
}

func testNodeOfOne(t *testing.T, w *world) {
	_, c := w.joined("gpu-1")
	snapshot, err := w.Snapshot(w.ctx, c)
	w.must(err)
	if len(snapshot.Organizations) != 1 || snapshot.Organizations[0].Organization.Name != "acme" {
		t.Errorf("its snapshot has %+v", snapshot.Organizations)
	}
	w.run(w.eve, "beta", "train")
	w.run(w.bob, "bob", "play")
	mine := w.run(w.bob, "acme", "train")
	work, err := w.TakeWork(w.ctx, c, 10)
	w.must(err)
	if got := idsOf(work); !slices.Equal(got, []string{mine.ID}) {
		t.Errorf("took %v", got)
	}
	for owner, want := range map[string]int{"acme": 1, "beta": 0, "bob": 0} {
		actions, err := w.NamespaceActions(w.ctx, c, owner)
		w.must(err)
		if len(actions) != want {
			t.Errorf("in %s it may %v", owner, actions)
		}
	}
	event := pierhead.Event{ID: "evt_1", At: w.clock.Now(), Kind: "pull.failed", OrganizationID: w.organizationID("beta")}
	w.wants(w.DeliverEvents(w.ctx, c, []pierhead.Event{event}), pierhead.ErrNotFound)
	_, err = w.Organization(w.ctx, c, "beta")
	w.wants(err, pierhead.ErrNotFound)
	_, text, err := w.CreateJoinToken(w.ctx, w.eve, "beta", "gpu-1", time.Time{}) // each organization has names of its own
	w.must(err)
	theirs := w.agent()
	w.must(theirs.join(text))
	names := func(c pierhead.Caller, organization string) string {
		nodes, err := w.Nodes(w.ctx, c, organization)
		w.must(err)
		var all []string
		for _, n := range nodes {
			all = append(all, n.Organization+"/"+n.Name)
		}
		return strings.Join(all, " ")
	}
	if a, b := names(w.bob, "acme"), names(w.eve, "beta"); a != "acme/gpu-1 /local" || b != "beta/gpu-1 /local" {
		t.Errorf("acme sees %s, beta %s", a, b)
	}
	_, err = w.Nodes(w.ctx, w.eve, "acme")
	w.wants(err, pierhead.ErrNotFound)
}

func testRevoke(t *testing.T, w *world) {
	a, c := w.joined("gpu-1")
	running, waiting, done := w.run(w.bob, "acme", "train"), w.run(w.bob, "acme", "train"), w.run(w.bob, "acme", "train")
	_, err := w.TakeWork(w.ctx, c, 10)
	w.must(err)
	for id, state := range map[string]pierhead.ExecutionState{running.ID: pierhead.ExecutionRunning, done.ID: pierhead.ExecutionSucceeded} {
		_, err = w.Report(w.ctx, c, id, pierhead.Progress{State: state})
		w.must(err)
	}
	for caller, kind := range map[string]error{"bob": pierhead.ErrNotAllowed, "root": pierhead.ErrNotAllowed, "eve": pierhead.ErrNotFound} {
		_, err := w.RevokeNode(w.ctx, map[string]pierhead.Caller{"bob": w.bob, "root": w.root, "eve": w.eve}[caller], "acme", "gpu-1")
		w.wants(err, kind)
	}
	_, err = w.RevokeNode(w.ctx, w.alice, "acme", "local")
	w.wants(err, pierhead.ErrConflict, "pier up")
	changed := w.Changed()
	revocation, err := w.RevokeNode(w.ctx, w.alice, "acme", "gpu-1")
	w.must(err)
	if !slices.Equal(revocation.Executions, []string{running.ID, waiting.ID}) || revocation.Node.ID != c.NodeID || len(revocation.LostKeys) > 0 {
		t.Errorf("lost %+v", revocation)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was woken: its long polls go on")
	}
	lost, err := w.Execution(w.ctx, w.bob, running.ID)
	w.must(err)
	if lost.Progress.State != pierhead.ExecutionFailed || !strings.Contains(lost.Progress.Reason, "gpu-1 was revoked") || lost.Progress.FinishedAt.IsZero() {
		t.Errorf("it ended as %+v", lost.Progress)
	}
	for _, ask := range []func() error{
		func() error { _, err := w.Authenticate(w.ctx, a.sign()); return err },
		func() error { _, err := w.TakeWork(w.ctx, c, 1); return err },
		func() error { _, err := w.Snapshot(w.ctx, c); return err },
		func() error { return w.DeliverEvents(w.ctx, c, nil) },
	} {
		w.wants(ask(), pierhead.ErrNotAllowed, "gpu-1 was revoked", "pier node token create")
	}
	_, err = w.Node(w.ctx, w.alice, "acme", "gpu-1")
	w.wants(err, pierhead.ErrNotFound)
	again := w.agent()
	w.must(again.join(w.invite("gpu-1")))
	if _, err := w.RevokeNode(w.ctx, w.alice, "acme", "gpu-1"); err != nil {
		t.Error(err)
	}
}

func testRevokeKeys(t *testing.T, w *world) {
	_, first := w.joined("first")
	b, second := w.joined("second")
	key := dataKey(t)
	w.must(w.PutDataKey(w.ctx, first, key))
	r := registry("hub", "docker.io/acme/*")
	r.Credential = pierhead.RegistryCredential{Sealed: sealedTo(key.ID)}
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	w.wants(w.PutDataKey(w.ctx, second, dataKey(t)), pierhead.ErrConflict, "--data-key")
	w.must(w.PutDataKey(w.ctx, second, key))
	if err := b.join(w.invite("third")); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("one key for two nodes: %v", err)
	}
	third := w.agent()
	w.must(third.join(w.invite("third")))
	if !third.joined.HasData {
		t.Error("a further agent is not told that there is a data key")
	}
	revocation, err := w.RevokeNode(w.ctx, w.alice, "acme", "first")
	w.must(err)
	if len(revocation.LostKeys) > 0 {
		t.Errorf("lost %+v, which another node has", revocation.LostKeys)
	}
	if got, err := w.DataKey(w.ctx, w.alice, "acme"); err != nil || got.ID != key.ID {
		t.Errorf("seal to %+v, %v", got, err)
	}
	revocation, err = w.RevokeNode(w.ctx, w.alice, "acme", "second")
	w.must(err)
	if len(revocation.LostKeys) != 1 || revocation.LostKeys[0].ID != key.ID || !slices.Equal(revocation.LostKeys[0].Registries, []string{"hub"}) {
		t.Errorf("lost %+v", revocation.LostKeys)
	}
	_, err = w.DataKey(w.ctx, w.alice, "acme")
	w.wants(err, pierhead.ErrConflict, "agent")
	w.must(w.PutDataKey(w.ctx, w.login(third.sign()), key)) // somebody had kept it after all
	if got, err := w.DataKey(w.ctx, w.alice, "acme"); err != nil || got.ID != key.ID {
		t.Errorf("seal to %+v, %v", got, err)
	}
}

// What is kept of a revoked node is in nobody's way.
func testRevokedAndDeleted(_ *testing.T, w *world) {
	_, text, err := w.CreateJoinToken(w.ctx, w.eve, "beta", "gpu-1", time.Time{})
	w.must(err)
	a := w.agent()
	w.must(a.join(text))
	c := w.login(a.sign())
	w.must(w.PutDataKey(w.ctx, c, dataKey(w.t)))
	w.must(w.DeliverEvents(w.ctx, c, []pierhead.Event{{ID: "evt_1", At: w.clock.Now(), Kind: "pull.failed", OrganizationID: w.organizationID("beta")}}))
	x := w.run(w.eve, "beta", "train")
	_, err = w.TakeWork(w.ctx, c, 1)
	w.must(err)
	_, err = w.RevokeNode(w.ctx, w.eve, "beta", "gpu-1")
	w.must(err)
	if shown, err := w.Execution(w.ctx, w.eve, x.ID); err != nil || shown.NodeID != c.NodeID {
		w.t.Errorf("%+v, %v", shown, err)
	}
	w.must(w.DeleteProject(w.ctx, w.eve, "beta", "train"))
	_, text, err = w.CreateJoinToken(w.ctx, w.eve, "beta", "gpu-2", time.Time{})
	w.must(err)
	w.must(w.agent().join(text))
	w.wants(w.DeleteOrganization(w.ctx, w.root, "beta"), pierhead.ErrConflict, "nodes: gpu-2")
	_, err = w.RevokeNode(w.ctx, w.eve, "beta", "gpu-2")
	w.must(err)
	w.must(w.DeleteOrganization(w.ctx, w.root, "beta"))
}
