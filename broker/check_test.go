package broker

import (
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

// What a look at a credential finds, at a registry with a password that is or is not there, with and without a token server.
func TestCheck(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		for _, c := range []struct {
			name, image string
			change      func(*node, *remote, *pierhead.Registry)
			want        pierhead.CheckResult
			says        string
		}{
			{"the right login", "team/app:v1", nil, pierhead.CheckProved, "gives HOST/team/app:v1 for this credential, and not for a made-up one"},
			{"a wrong one", "team/app:v1", func(n *node, _ *remote, _ *pierhead.Registry) { n.write("team", "wrong", "") }, pierhead.CheckRefused, "HOST/team/app:v1 cannot be pulled: the login of registry team was not accepted"},
			{"for another server", "team/app:v1", func(n *node, r *remote, _ *pierhead.Registry) { n.write("team", r.password, "other.example.com") }, pierhead.CheckRefused, "the secret is for other.example.com"},
			{"no secret there", "team/app:v1", func(_ *node, _ *remote, e *pierhead.Registry) { e.Credential.Secret = "file:nothing" }, pierhead.CheckFailed, "the secret of registry team cannot be read on this node"},
			{"nothing to log in with", "team/app:v1", func(_ *node, _ *remote, e *pierhead.Registry) { e.Credential.Secret = "" }, pierhead.CheckUnproved, "has no credential"},
			{"a public image", "team/app:v1", func(_ *node, r *remote, _ *pierhead.Registry) { r.public = true }, pierhead.CheckUnproved, "is public"},
			{"an image that is not there", "team/nothing:v1", nil, pierhead.CheckUnproved, "takes the credential, and says that there is no HOST/team/nothing:v1"},
			{"no image known", "", nil, pierhead.CheckUnproved, "no image is known that would prove it"},
			{"no image known, and no secret", "", func(_ *node, _ *remote, e *pierhead.Registry) { e.Credential.Secret = "file:nothing" }, pierhead.CheckFailed, "the secret of registry team cannot be read on this node"},
			{"nobody there", "team/app:v1", func(_ *node, r *remote, _ *pierhead.Registry) { r.Close() }, pierhead.CheckFailed, "connection refused"},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := newRemote(t, bearer)
				n, entry := newNode(t), r.registry()
				n.write("team", r.password, "")
				if c.change != nil {
					c.change(n, r, &entry)
				}
				image := c.image
				if image != "" {
					image = r.host + "/" + image
				}
				check := n.Check(t.Context(), alice, entry, image)
				if check.Result != c.want || !strings.Contains(check.Reason, strings.ReplaceAll(c.says, "HOST", r.host)) || strings.Contains(check.Reason, "unknown:latest") {
					t.Errorf("%s: %s", check.Result, check.Reason)
				}
				bad := c.want == pierhead.CheckRefused || c.want == pierhead.CheckFailed
				if got := n.events.kinds(); (got == "registry.check") != bad {
					t.Errorf("events %q", got)
				}
				if bad && check.Hint == "" {
					t.Error("no hint")
				}
				n.keepsSecret(r.password, check.Reason, check.Hint)
				r.mu.Lock()
				defer r.mu.Unlock()
				for password := range r.logins {
					if password == r.password || password == "wrong" || password == "" {
						continue
					}
					if r.users[password] == "ci" || !strings.HasPrefix(r.users[password], "pierhead-check-") {
						t.Errorf("the made-up login is that of %q", r.users[password])
					}
				}
			})
		}
	}
}
