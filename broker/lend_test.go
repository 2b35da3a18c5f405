package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
	"pierhead.dev/pierhead/secret"
)

// atDocker is what the Docker helper asks, atKubelet what the kubelet's plugin does.
func atDocker(t *testing.T, host string) Question {
	t.Helper()
	reference, err := image.OfHost(host)
	if err != nil {
		t.Fatal(err)
	}
	return Question{OrganizationID: "org_acme", Reference: reference, Door: doors.Docker}
}

func atKubelet(t *testing.T, name string) Question {
	t.Helper()
	reference, err := image.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	return Question{OrganizationID: "org_acme", Reference: reference, Door: doors.Kubelet}
}

func wholeHost(r *pierhead.Registry) { r.Helper = pierhead.HelperWholeHost }

func onlyVision(r *pierhead.Registry) { r.Projects = pierhead.ProjectScope{Names: []string{"vision"}} }

// The Docker door lends what is right for the whole host, or was opted in; else it says why not, and by which kind of error.
func TestLendAtTheDockerDoor(t *testing.T) {
	whole := func(name string, changes ...func(*pierhead.Registry)) pierhead.Registry {
		return with(generic(name, nil, "quay.io/*"), changes...)
	}
	part := func(name, path string, changes ...func(*pierhead.Registry)) pierhead.Registry {
		return with(generic(name, nil, "quay.io/"+path), changes...)
	}
	for _, c := range []struct {
		name       string
		registries []pierhead.Registry
		lender     string // whose login
		kind       error  // or what it is instead
		says       string // in the error, or in the warning
	}{
		{name: "nothing", kind: pierhead.ErrNotFound, says: "no registry"},
		{name: "the whole host", registries: []pierhead.Registry{whole("quay")}, lender: "quay"},
		{name: "a part of it", registries: []pierhead.Registry{part("team", "team/*")}, kind: pierhead.ErrConflict, says: "registry team (quay.io/team/*)"},
		{name: "one tag of it", registries: []pierhead.Registry{part("team", "*:v1")}, kind: pierhead.ErrConflict},
		{name: "another has a part", registries: []pierhead.Registry{whole("quay"), part("team", "team/*")}, kind: pierhead.ErrConflict, says: "registry quay"},
		{name: "its own part", registries: []pierhead.Registry{with(generic("quay", nil, "quay.io/*", "quay.io/team/*"))}, lender: "quay"},
		{name: "a disabled one has a part", registries: []pierhead.Registry{whole("quay"), part("team", "team/*", func(r *pierhead.Registry) { r.Enabled = false })}, lender: "quay"},
		{name: "a project's own has a part", registries: []pierhead.Registry{whole("quay"), part("team", "team/*", onlyVision)}, lender: "quay"},
		{name: "of some projects only", registries: []pierhead.Registry{whole("quay", onlyVision)}, kind: pierhead.ErrNotFound, says: "open to all"},
		{name: "two whole", registries: []pierhead.Registry{whole("one"), whole("two")}, kind: pierhead.ErrConflict, says: "nothing decides"},
		{name: "opted in with a part", registries: []pierhead.Registry{part("team", "team/*", wholeHost)}, lender: "team", says: "quay.io/team/*"},
		{name: "opted in beside another's part", registries: []pierhead.Registry{whole("quay", wholeHost), part("team", "team/*")}, lender: "quay", says: "whole-host"},
		{name: "opted in against the whole", registries: []pierhead.Registry{whole("quay"), part("team", "team/*", wholeHost)}, lender: "team", says: "quay.io/team/*"},
		{name: "two opted in", registries: []pierhead.Registry{part("one", "one/*", wholeHost), part("two", "two/*", wholeHost)}, kind: pierhead.ErrConflict, says: "one and two"},
		{name: "opted in for some projects", registries: []pierhead.Registry{part("team", "team/*", wholeHost, onlyVision)}, kind: pierhead.ErrNotFound},
		{name: "opted in elsewhere", registries: []pierhead.Registry{with(generic("team", nil, "example.com/team/*"), wholeHost)}, kind: pierhead.ErrNotFound},
		{name: "without a login", registries: []pierhead.Registry{whole("quay", func(r *pierhead.Registry) { r.Credential.Secret = "" })}, kind: pierhead.ErrNotFound, says: "no login"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, c.registries...)
			for _, r := range c.registries {
				n.write(r.Name, "password-of-"+r.Name, "quay.io")
			}
			q := atDocker(t, "https://quay.io/v1/")
			loan, err := n.Lend(t.Context(), alice, q)
			if c.kind != nil {
				if !errors.Is(err, c.kind) || errors.Is(err, pierhead.ErrPull) || pierhead.HintOf(err) == "" || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v (%s)", err, pierhead.HintOf(err))
				}
			} else if err != nil || loan.Registry != c.lender || loan.Login.Password() != "password-of-"+c.lender || loan.Host != "quay.io" || loan.Reach != doors.ReachHost || loan.CacheFor != 0 {
				t.Errorf("%+v, %v", loan, err)
			} else if (loan.Warning != "") != (c.says != "") || !strings.Contains(loan.Warning, c.says) {
				t.Errorf("warning %q", loan.Warning)
			}
			e := n.explain(q)
			wanted := map[error]string{nil: api.OutcomeRegistry, pierhead.ErrNotFound: api.OutcomeAnonymous, pierhead.ErrConflict: api.OutcomeAmbiguous}[c.kind]
			if e.Outcome != wanted || c.kind != nil && !strings.Contains(e.Sentence, err.Error()) || len(e.Steps) != 4 || e.Hint != pierhead.HintOf(err) {
				t.Errorf("explained as %s: %s", e.Outcome, e.Sentence)
			}
		})
	}
}

func with(r pierhead.Registry, changes ...func(*pierhead.Registry)) pierhead.Registry {
	for _, change := range changes {
		change(&r)
	}
	return r
}

// The kubelet knows the repository: the loan says whether it is right for more than that, and what the tag would decide is
// a refusal.
func TestLendAtTheKubeletsDoor(t *testing.T) {
	n := newNode(t, generic("quay", nil, "quay.io/*"), generic("team", nil, "quay.io/team/*"), generic("alone", nil, "alone.example.com/*"),
		generic("tagged", nil, "tagged.example.com/app:v1"))
	for _, name := range []string{"quay", "team"} {
		n.write(name, name, "quay.io")
	}
	n.write("alone", "alone", "alone.example.com")
	n.write("tagged", "tagged", "tagged.example.com")
	for name, wanted := range map[string]struct {
		registry string
		reach    doors.Reach
	}{
		"quay.io/other/app": {"quay", doors.ReachRepository}, "quay.io/team/app": {"team", doors.ReachRepository}, "alone.example.com/app": {"alone", doors.ReachHost},
	} {
		loan, err := n.Lend(t.Context(), alice, atKubelet(t, name))
		if err != nil || loan.Registry != wanted.registry || loan.Reach != wanted.reach || loan.Warning != "" {
			t.Errorf("%s: %+v, %v", name, loan, err)
		}
	}
	_, err := n.Lend(t.Context(), alice, atKubelet(t, "tagged.example.com/app"))
	if !errors.Is(err, pierhead.ErrConflict) || pierhead.HintOf(err) == "" {
		t.Errorf("the tag would decide: %v", err)
	}
	if _, err = n.Lend(t.Context(), alice, atKubelet(t, "tagged.example.com/other")); !errors.Is(err, pierhead.ErrNotFound) {
		t.Errorf("nothing covers it: %v", err)
	}
	q := atKubelet(t, "quay.io/team/app")
	q.Personal, q.OrganizationID = true, ""
	if _, err = n.Lend(t.Context(), alice, q); !errors.Is(err, pierhead.ErrNotFound) || pierhead.HintOf(err) == "" {
		t.Errorf("a personal project: %v", err)
	}
}

// The node's identity is lent as it is used, for half of what is left of it; nobody asked for it, so what goes wrong with it
// breaks no public image, but is told.
func TestLendTheNodesIdentity(t *testing.T) {
	aws := &cloud{identity: nodeRole}
	n := newNode(t).with(aws)
	loan, err := n.Lend(t.Context(), alice, atDocker(t, ecrHost))
	if err != nil || loan.Registry != "node identity" || loan.Login.Username() != "AWS" || loan.Reach != doors.ReachHost || loan.CacheFor > 6*time.Hour || loan.CacheFor < 6*time.Hour-time.Minute {
		t.Errorf("%+v, %v", loan, err)
	}
	if loan, err = n.Lend(t.Context(), alice, atKubelet(t, ecrHost+"/team/app")); err != nil || loan.Reach != doors.ReachHost {
		t.Errorf("%+v, %v", loan, err)
	}
	// A registry of a part of the host: what is not its, is the identity's, and neither for the whole host.
	part := newNode(t, generic("team", nil, ecrHost+"/team/*")).with(aws)
	if loan, err = part.Lend(t.Context(), alice, atKubelet(t, ecrHost+"/other/app")); err != nil || loan.Reach != doors.ReachRepository {
		t.Errorf("%+v, %v", loan, err)
	}
	if _, err = part.Lend(t.Context(), alice, atDocker(t, ecrHost)); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("%v", err)
	}
	for name, lent := range map[string]bool{ecrHost + "/*": true, "*.dkr.ecr.*.amazonaws.com": true, ecrHost + "/team/*": false, ecrHost + "/*:v1": false} {
		n.IdentityFor = patterns(t, name)
		if _, err = n.Lend(t.Context(), alice, atDocker(t, ecrHost)); (err == nil) != lent || err != nil && !errors.Is(err, pierhead.ErrNotFound) {
			t.Errorf("--node-identity %s: %v", name, err)
		}
	}
	for _, kind := range []error{exchange.ErrNoIdentity, exchange.ErrRefused, exchange.ErrUnreachable} {
		n := newNode(t).with(&cloud{identity: nodeRole, fails: &exchange.Error{Kind: kind, Text: "ecr says no", Hint: "attach a policy"}})
		_, err := n.Lend(t.Context(), alice, atDocker(t, ecrHost))
		if !errors.Is(err, pierhead.ErrNotFound) || errors.Is(err, pierhead.ErrPull) || !strings.Contains(err.Error(), "ecr says no") || pierhead.HintOf(err) != "attach a policy" {
			t.Errorf("%v: %v", kind, err)
		}
		if e := n.explain(atDocker(t, ecrHost)); e.Outcome != api.OutcomeAnonymous || !strings.Contains(e.Sentence, "ecr says no") {
			t.Errorf("%v: explained as %s: %s", kind, e.Outcome, e.Sentence)
		}
	}
}

// "Known, but it went wrong" is never told as not found.
func TestLendTellsWhatWentWrong(t *testing.T) {
	for name, change := range map[string]func(*node){
		"the secret is gone":      func(*node) {},
		"the secret's store":      func(n *node) { n.source.down = &secret.Error{Kind: secret.ErrUnreachable, Text: "the vault is away"} },
		"the secret is nonsense":  func(n *node) { writeText(n, "quay", "{") },
		"it is for another host":  func(n *node) { n.write("quay", "secret-word", "example.com") },
		"the store never answers": func(n *node) { n.source.down = context.DeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, generic("quay", nil, "quay.io/*"))
			change(n)
			for range 2 {
				_, err := n.Lend(t.Context(), alice, atDocker(t, "quay.io"))
				if !errors.Is(err, pierhead.ErrPull) || errors.Is(err, pierhead.ErrNotFound) || pierhead.HintOf(err) == "" || !strings.Contains(err.Error(), "quay") {
					t.Errorf("%v (%s)", err, pierhead.HintOf(err))
				}
				n.keepsSecret("secret-word", err.Error(), pierhead.HintOf(err))
			}
			if kinds := n.events.kinds(); kinds != "credential.refused" {
				t.Errorf("events %q", kinds)
			}
			if e := n.explain(atDocker(t, "quay.io")); e.Outcome != api.OutcomeFailed {
				t.Errorf("explained as %s: %s", e.Outcome, e.Sentence)
			}
		})
	}
}

func writeText(n *node, name, text string) {
	if err := os.WriteFile(filepath.Join(n.secrets, name), []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// The hosted registry's login is the node itself.
func TestTheNodesTokenIsNotLent(t *testing.T) {
	n := newNode(t, pierhead.Registry{ID: "reg_hosted", OrganizationID: "org_acme", Name: pierhead.HostedRegistryName, Type: pierhead.RegistryHosted, Enabled: true,
		Match: []string{hostedHost + "/acme/*"}, Projects: pierhead.ProjectScope{All: true}})
	for _, q := range []Question{atDocker(t, hostedHost), atKubelet(t, hostedHost+"/acme/app")} {
		if loan, err := n.Lend(t.Context(), alice, q); err == nil || errors.Is(err, pierhead.ErrPull) || pierhead.HintOf(err) == "" {
			t.Errorf("%+v, %v", loan, err)
		}
	}
}

// A secret with logins for parts of a host: a door that knows the host only gets none of them, whoever asked before.
func TestLendPartsOfAHost(t *testing.T) {
	for _, opted := range []pierhead.HelperScope{"", pierhead.HelperWholeHost} {
		n := newNode(t, generic("quay", func(r *pierhead.Registry) { r.Helper = opted }, "quay.io/*"))
		writeText(n, "quay", `{"auths":{"quay.io/one":{"username":"one","password":"first"},"quay.io/two":{"username":"two","password":"second"}}}`)
		for _, repository := range []string{"one", "two"} {
			loan, err := n.Lend(t.Context(), alice, atKubelet(t, "quay.io/"+repository+"/app"))
			if err != nil || loan.Login.Username() != repository || loan.Reach != doors.ReachRepository {
				t.Errorf("%s: %+v, %v", repository, loan, err)
			}
			if loan, err = n.Lend(t.Context(), alice, atDocker(t, "quay.io")); err == nil {
				t.Errorf("the host alone gets %+v", loan)
			}
		}
	}
}

// Whoever is lent a login does not come back when it is refused, so a rotated secret serves the next pull.
func TestLendAfterARotation(t *testing.T) {
	n := newNode(t, generic("quay", nil, "quay.io/*"))
	for _, password := range []string{"first", "second", "third"} {
		n.write("quay", password, "quay.io")
		for _, q := range []Question{atDocker(t, "quay.io"), atKubelet(t, "quay.io/team/app")} {
			if loan, err := n.Lend(t.Context(), alice, q); err != nil || loan.Login.Password() != password || loan.CacheFor != 0 {
				t.Errorf("the %s login: %v", password, err)
			}
		}
	}
}

// A thousand pulls are one line of the log, and it comes again later.
func TestLendIsRecordedOnce(t *testing.T) {
	n := newNode(t, generic("quay", nil, "quay.io/*"))
	n.write("quay", "password", "quay.io")
	now := time.Now()
	n.Now = func() time.Time { return now }
	n.logins.now = n.Now
	for range 1000 {
		if _, err := n.Lend(t.Context(), alice, atDocker(t, "quay.io")); err != nil {
			t.Fatal(err)
		}
	}
	if n.events.kinds() != "credential.lent" {
		t.Errorf("events %q", n.events.kinds())
	}
	if e := n.events.events[0]; e.Registry != "quay" || e.Image != "quay.io" || e.Detail["door"] != "docker" || e.Detail["caller"] != "alice" {
		t.Errorf("%+v", e)
	}
	now = now.Add(tellAgain)
	if _, err := n.Lend(t.Context(), alice, atDocker(t, "quay.io")); err != nil || n.events.kinds() != "credential.lent credential.lent" {
		t.Errorf("events %q, %v", n.events.kinds(), err)
	}
	for i := range maxLoans + 1 {
		n.loans.first(fmt.Sprint(i), now)
	}
	if len(n.loans.told) > maxLoans {
		t.Errorf("%d are remembered", len(n.loans.told))
	}
	n.keepsSecret("password-of-nobody")
}
