package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/identity/kube"
	"pierhead.dev/pierhead/identity/kubetest"
	"pierhead.dev/pierhead/internal/doors"
)

func TestKubeProjects(t *testing.T) {
	for _, c := range []struct{ rules, account, want string }{
		{DefaultKubeProjects, "vision/default", "vision"},
		{"", "vision/default", ""},
		{"vision=speech", "vision/default", "speech"},
		{"vision=speech", "vision2/default", ""},
		{"vision=speech", "avision/default", ""},
		{"team-*=all", "team-a/default", "all"},
		{"team-*=all", "team-/default", "all"},
		{"team-*=all", "team/default", ""},
		{"vision/builder=builds,vision=vision", "vision/builder", "builds"},
		{"vision/builder=builds,vision=vision", "vision/default", "vision"},
		{"vision=vision,vision/builder=builds", "vision/builder", "vision"}, // the first that matches
		{"*/pier-*=builds", "speech/pier-x", "builds"},
		{"kube-*=-,*=*", "kube-system/default", ""},
		{"kube-*=-,*=*", "vision/default", "vision"},
		{"v.sion=x", "vision/default", ""},
	} {
		namespace, name, _ := strings.Cut(c.account, "/")
		rules, err := ParseKubeProjects(slices.DeleteFunc(strings.Split(c.rules, ","), func(s string) bool { return s == "" }))
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Of(kube.Account{Namespace: namespace, Name: name}); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.account, c.rules, got, c.want)
		}
	}
	for _, wrong := range []string{"", "vision", "=vision", "vision=", "vision/=x", "/x=y", "vision=Vision", "vision=acme/vision", "vision=a*", "vi[s]ion=x", "vision=x=y", "a/b/c=x", "vision=a--b", `vi\*=x`} {
		if _, err := ParseKubeProjects([]string{wrong}); !errors.Is(err, pierhead.ErrBadInput) || pierhead.HintOf(err) == "" {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestKubeletQuestion(t *testing.T) {
	issuer := kubetest.Start(t)
	accounts, err := kube.New(kube.Config{Audience: "pierhead", Issuer: issuer.URL})
	if err != nil {
		t.Fatal(err)
	}
	projects, err := ParseKubeProjects([]string{"vision=speech"})
	if err != nil {
		t.Fatal(err)
	}
	token := func(namespace string, changed map[string]any) string {
		return issuer.Token(t, issuer.Claims(time.Now(), "pierhead", namespace, "trainer"), changed)
	}
	door := KubeletDoor{Accounts: accounts, Projects: projects}
	for _, c := range []struct {
		name    string
		door    KubeletDoor
		image   string
		token   string
		project string
		account string
		kind    error
	}{
		{"without a token", door, "registry.example.com/team/app", "", "", "/", nil},
		{"a mapped namespace", door, "registry.example.com/team/app", token("vision", nil), "speech", "vision/trainer", nil},
		{"one that maps to nothing", door, "registry.example.com/team/app", token("other", nil), "", "other/trainer", nil},
		{"a wrong token", door, "registry.example.com/team/app", token("vision", map[string]any{"aud": "vault"}), "", "/", pierhead.ErrNotAllowed},
		{"a token, and nobody to trust", KubeletDoor{}, "registry.example.com/team/app", token("vision", nil), "", "/", pierhead.ErrNotAllowed},
		{"no image", door, "registry.example.com/Team", "", "", "/", pierhead.ErrBadInput},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, account, err := c.door.question(t.Context(), doors.Ask{Door: doors.Kubelet, Image: c.image, ServiceAccountToken: c.token})
			if !errors.Is(err, c.kind) || c.kind == nil && err != nil || q.Project != c.project || account.String() != c.account {
				t.Errorf("%+v %v %v", q, account, err)
			}
			if err == nil && (q.Reference.TagKnown() || q.Reference.Name() != c.image || q.Personal) {
				t.Errorf("%+v", q)
			}
		})
	}
}

// A pod of a namespace gets what its project may pull, one of another namespace does not, and a token that is not right is
// told: in the answer, in the log and among the node's troubles, without a part of it.
func TestSocketLendsToAServiceAccount(t *testing.T) {
	k := newKit(t)
	found, err := k.admin.Registry(t.Context(), "acme", "images")
	k.must(err)
	found.Projects = &api.Projects{Names: []string{"vision"}}
	_, err = k.admin.Untested().UpdateRegistry(t.Context(), "acme", found)
	k.must(err)
	issuer := kubetest.Start(t)
	accounts, err := kube.New(kube.Config{Audience: "pierhead", Issuer: issuer.URL})
	k.must(err)
	projects, err := ParseKubeProjects([]string{"vision-*/trainer=vision"})
	k.must(err)
	_, client := k.atSocket(func(c *Config) { c.Kubelet = KubeletDoor{Accounts: accounts, Projects: projects} })
	name, _, _ := strings.Cut(strings.TrimPrefix(k.image, k.host()+"/"), ":")
	ask := func(token string, answer any) int {
		return k.askAt(client, "POST", doors.PathCredential, doors.Ask{Door: doors.Kubelet, Image: k.host() + "/" + name, ServiceAccountToken: token}, answer)
	}
	token := func(audience, namespace, account string) string {
		return issuer.Token(t, issuer.Claims(time.Now(), audience, namespace, account), nil)
	}
	var loan doors.Loan
	if status := ask(token("pierhead", "vision-eu", "trainer"), &loan); status != 200 || loan.Password != registryPassword {
		t.Errorf("%d %+v", status, loan)
	}
	var refusal doors.Refusal
	if status := ask(token("pierhead", "vision-eu", "default"), &refusal); status != 404 {
		t.Errorf("another account: %d %+v", status, refusal)
	}
	if status := ask("", &refusal); status != 404 {
		t.Errorf("no token: %d %+v", status, refusal)
	}
	wrong := token("vault", "vision-eu", "trainer")
	if status := ask(wrong, &refusal); status == 404 || status < 400 || !strings.Contains(refusal.Reason, "refused") || refusal.Hint == "" {
		t.Errorf("a wrong token: %d %+v", status, refusal)
	}
	var status doors.Status
	k.askAt(client, "GET", doors.PathStatus, nil, &status)
	if len(status.Troubles) != 1 || status.Troubles[0].Reason != refusal.Reason || status.Troubles[0].Door != doors.Kubelet {
		t.Errorf("troubles %+v", status.Troubles)
	}
	if _, signature, _ := strings.Cut(wrong, "."); k.log.has(signature) || k.log.has(registryPassword) {
		t.Error("a secret is in the log")
	}
}
