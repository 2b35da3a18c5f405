package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
)

var tokenTests = []test{
	{"TokensHaveTheirForm", testTokenForm},
	{"BadTokensAllReadTheSame", testBadTokens},
	{"TokensExpire", testTokenExpiry},
	{"LastUseIsKeptToTheMinute", testTokenUse},
	{"WhoMayMakeTokens", testTokenCreate},
	{"WhoSeesAndDeletesTokens", testTokenVisible},
	{"RobotsAreMembers", testRobots},
	{"ReadOnlyTokensChangeNothing", testReadOnly},
	{"NamespaceActions", testNamespaceActions},
}

func testTokenForm(t *testing.T, w *world) {
	for _, want := range []struct {
		token  pierhead.Token
		prefix string
	}{{pierhead.Token{Name: "x"}, "pier_pat_"}, {pierhead.Token{Kind: pierhead.TokenRobot, Name: "x", Organization: "acme"}, "pier_robot_"}} {
		made, text, err := w.CreateToken(w.ctx, w.alice, want.token)
		w.must(err)
		if !strings.HasPrefix(text, want.prefix) || strings.Count(text, "_") != 3 {
			t.Errorf("the token has another form than %s…", want.prefix)
		}
		shown, err := w.Token(w.ctx, w.alice, made.ID)
		if err != nil || shown != made {
			t.Errorf("shown %+v, %v, made %+v", shown, err, made)
		}
	}
}

func testBadTokens(t *testing.T, w *world) {
	made, text, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{})
	w.must(err)
	other, gone, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{})
	w.must(err)
	w.must(w.DeleteToken(w.ctx, w.bob, other.ID))
	_, expired, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{ExpiresAt: w.clock.Now().Add(time.Hour)})
	w.must(err)
	w.clock.Advance(2 * time.Hour)
	var first error
	for _, bad := range []string{"", "x", text + "0", text[:len(text)-1], "pier_pat_0000000000000000000000000000_0000000", gone, expired, made.ID} {
		_, err := w.Authenticate(w.ctx, bad)
		w.wants(err, pierhead.ErrNotAllowed)
		if first == nil {
			first = err
		}
		if err.Error() != first.Error() || pierhead.HintOf(err) != pierhead.HintOf(first) {
			t.Errorf("bad tokens can be told apart: %q and %q", err, first)
		}
	}
	w.login(text)
}

func testTokenExpiry(t *testing.T, w *world) {
	at := w.clock.Now().Add(time.Hour)
	made, text, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{ExpiresAt: at})
	w.must(err)
	if !made.ExpiresAt.Equal(at.Truncate(time.Microsecond)) {
		t.Errorf("expires at %v, want %v", made.ExpiresAt, at)
	}
	w.login(text)
	w.clock.Advance(time.Hour)
	_, err = w.Authenticate(w.ctx, text)
	w.wants(err, pierhead.ErrNotAllowed)
	_, _, err = w.CreateToken(w.ctx, w.bob, pierhead.Token{ExpiresAt: at})
	w.wants(err, pierhead.ErrBadInput, "future")
}

func testTokenUse(t *testing.T, w *world) {
	made, text, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{})
	w.must(err)
	if !made.LastUsedAt.IsZero() {
		t.Error("used before its first use")
	}
	for range 3 {
		w.clock.Advance(90 * time.Second)
		now := w.clock.Now()
		w.login(text)
		shown, err := w.Token(w.ctx, w.bob, made.ID)
		w.must(err)
		if want := now.Truncate(time.Minute); !shown.LastUsedAt.Equal(want) {
			t.Errorf("last used at %v, want %v", shown.LastUsedAt, want)
		}
	}
}

func testTokenCreate(t *testing.T, w *world) {
	_, _, err := w.CreateToken(w.ctx, w.alice, pierhead.Token{Person: "bob"})
	w.wants(err, pierhead.ErrNotAllowed, "administrator")
	_, _, err = w.CreateToken(w.ctx, w.eve, pierhead.Token{Person: "bob"})
	w.wants(err, pierhead.ErrNotFound)
	_, _, err = w.CreateToken(w.ctx, w.bob, pierhead.Token{Kind: pierhead.TokenRobot, Name: "x", Organization: "acme"})
	w.wants(err, pierhead.ErrNotAllowed, "admin of the organization")
	_, _, err = w.CreateToken(w.ctx, w.root, pierhead.Token{Kind: pierhead.TokenRobot, Name: "x", Organization: "acme"})
	w.wants(err, pierhead.ErrNotAllowed)
	for _, c := range []pierhead.Caller{w.robot, w.node, w.read} {
		if _, _, err := w.CreateToken(w.ctx, c, pierhead.Token{}); err == nil {
			t.Errorf("%s made a token", c.Name)
		}
	}
	for _, kind := range []pierhead.TokenKind{pierhead.TokenNode, pierhead.TokenJoin, "other"} {
		_, _, err = w.CreateToken(w.ctx, w.root, pierhead.Token{Kind: kind})
		w.wants(err, pierhead.ErrBadInput)
	}
	_, _, err = w.CreateToken(w.ctx, w.alice, pierhead.Token{Kind: pierhead.TokenRobot, Name: "Not A Name", Organization: "acme"})
	w.wants(err, pierhead.ErrBadInput)
	_, text, err := w.CreateToken(w.ctx, w.alice, pierhead.Token{})
	w.must(err)
	_, _, err = w.CreateToken(w.ctx, w.alice, pierhead.Token{Name: text}) // pasted into the wrong field
	w.wants(err, pierhead.ErrBadInput)
}

func testTokenVisible(t *testing.T, w *world) {
	bobs, text, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{Name: "bobs"})
	w.must(err)
	for _, c := range []struct {
		caller pierhead.Caller
		sees   bool
	}{{w.root, true}, {w.bob, true}, {w.alice, false}, {w.eve, false}, {w.robot, false}, {w.node, false}} {
		tokens, err := w.Tokens(w.ctx, c.caller)
		w.must(err)
		if got := slices.ContainsFunc(tokens, func(k pierhead.Token) bool { return k.ID == bobs.ID }); got != c.sees {
			t.Errorf("%s lists bob's token: %v, want %v", c.caller.Name, got, c.sees)
		}
		if _, err := w.Token(w.ctx, c.caller, bobs.ID); (err == nil) != c.sees {
			t.Errorf("%s is shown bob's token: %v", c.caller.Name, err)
		}
		if !c.sees {
			w.wants(w.DeleteToken(w.ctx, c.caller, bobs.ID), pierhead.ErrNotFound)
		}
	}
	tokens, err := w.Tokens(w.ctx, w.alice)
	w.must(err)
	if !slices.ContainsFunc(tokens, func(k pierhead.Token) bool { return k.Name == "ci" && k.Organization == "acme" && k.Person == "alice" }) {
		t.Error("an organization's admin does not see its robots")
	}
	w.must(w.DeleteToken(w.ctx, w.root, bobs.ID)) // a stolen one
	_, err = w.Authenticate(w.ctx, text)
	w.wants(err, pierhead.ErrNotAllowed)
	w.wants(w.DeleteToken(w.ctx, w.root, bobs.ID), pierhead.ErrNotFound)
}

func testRobots(t *testing.T, w *world) {
	if w.robot.Name != "robot:ci" || w.robot.PersonID != "" || w.robot.Admin || w.robot.RoleIn(w.organizationID("acme")) != pierhead.RoleMember {
		t.Errorf("the robot is %+v", w.robot)
	}
	w.run(w.robot, "acme", "train")
	_, err := w.Registries(w.ctx, w.robot, "acme")
	w.wants(err, pierhead.ErrNotAllowed)
	// An administrator's robot is no administrator.
	_, err = w.SetMember(w.ctx, w.root, "acme", "root", pierhead.RoleAdmin)
	w.must(err)
	_, text, err := w.CreateToken(w.ctx, w.login(w.rootToken), pierhead.Token{Kind: pierhead.TokenRobot, Name: "roots", Organization: "acme"})
	w.must(err)
	if c := w.login(text); c.Admin || c.PersonID != "" || c.Person != "" {
		t.Errorf("the administrator's robot is %+v", c)
	}
}

func testReadOnly(t *testing.T, w *world) {
	if !w.read.ReadOnly {
		t.Fatal("not read-only")
	}
	x := w.run(w.alice, "acme", "train")
	for name, change := range map[string]func() error{
		"project":   func() error { _, err := w.CreateProject(w.ctx, w.read, "acme", "x"); return err },
		"registry":  func() error { _, err := w.CreateRegistry(w.ctx, w.read, "acme", registry("x", "gcr.io/x")); return err },
		"execution": func() error { _, err := w.CreateExecution(w.ctx, w.read, "acme", "train", spec("alpine")); return err },
		"stop":      func() error { _, err := w.StopExecution(w.ctx, w.read, x.ID); return err },
		"token":     func() error { _, _, err := w.CreateToken(w.ctx, w.read, pierhead.Token{ReadOnly: true}); return err },
		"delete":    func() error { return w.DeleteToken(w.ctx, w.read, w.read.TokenID) },
		"leave":     func() error { return w.DeleteMember(w.ctx, w.read, "acme", "alice") },
	} {
		t.Run(name, func(t *testing.T) { w.wants(change(), pierhead.ErrNotAllowed, "read-only") })
	}
	_, err := w.Execution(w.ctx, w.read, x.ID)
	w.must(err)
	_, err = w.Registries(w.ctx, w.read, "acme")
	w.must(err)
}

func testNamespaceActions(t *testing.T, w *world) {
	for _, c := range []struct {
		caller    pierhead.Caller
		namespace string
		want      string
	}{
		{w.alice, "acme", "pull push delete"}, {w.bob, "acme", "pull push"}, {w.robot, "acme", "pull push"}, {w.read, "acme", "pull"},
		{w.node, "acme", "pull"}, {w.eve, "acme", ""}, {w.root, "acme", ""}, {pierhead.Caller{}, "acme", ""},
		{w.bob, "bob", "pull push delete"}, {w.alice, "bob", ""}, {w.root, "bob", ""}, {w.node, "bob", ""},
		{w.alice, "nowhere", ""}, {w.alice, "", ""}, {w.alice, "acme/x", ""},
	} {
		actions, err := w.NamespaceActions(w.ctx, c.caller, c.namespace)
		w.must(err)
		if got := strings.Join(actions, " "); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.caller.Name, c.namespace, got, c.want)
		}
	}
}
