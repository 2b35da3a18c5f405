package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Without an agent the server tells what the registries alone say, and that this is all it looked at.
func TestExplainWithoutAnAgent(t *testing.T) {
	k := newKit(t)
	k.projects()
	k.registry()
	_, err := k.client("alice").CreateRegistry(t.Context(), "acme", api.Registry{Name: "narrow", Match: []string{"images.example/team/*"}, Projects: &api.Projects{}})
	k.must(err)
	e, err := k.client("bob").Explain(t.Context(), api.ExplainRequest{Image: "images.example/team/a:b", Project: "acme/vision"})
	k.must(err)
	if e.From != api.FromServer || e.Note == "" || e.Outcome != api.OutcomeRegistry || e.Project != "acme/vision" || e.Organization != "acme" || e.Personal {
		t.Errorf("explanation is %+v", e)
	}
	if e.Image.Host != "images.example" || e.Image.Repository != "team/a" || e.Image.Tag != "b" {
		t.Errorf("image is %+v", e.Image)
	}
	rules := map[string]string{}
	for _, c := range e.Candidates {
		rules[c.Registry] = c.Rule
	}
	if rules["images"] != "most-specific" || rules["narrow"] != "project-not-listed" {
		t.Errorf("rules are %v", rules)
	}
	if len(e.Steps) != 4 || !e.Steps[1].Taken || e.Credential == nil || e.Credential.Source != "secret file:images" || e.Credential.Hosts[0] != "images.example" {
		t.Errorf("steps %+v, credential %+v", e.Steps, e.Credential)
	}
	e, err = k.client("bob").Explain(t.Context(), api.ExplainRequest{Image: "other.example/a:b", Project: "acme/vision"})
	k.must(err)
	if e.Outcome != api.OutcomeAnonymous || !e.Steps[3].Taken || e.Credential != nil || e.Hint == "" {
		t.Errorf("explanation is %+v", e)
	}
	// Regression: the log said that the node had asked, and nothing of bob.
	entries, err := k.client("alice").Audit(t.Context(), api.AuditFilter{Organization: "acme", Action: "image.explain"})
	k.must(err)
	if len(entries) != 2 || entries[0].Caller != "bob" || entries[0].Object != "image other.example/a:b" || entries[0].Detail["project"] != "acme/vision" {
		t.Errorf("the audit log has %+v", entries)
	}
	if e, err = k.client("bob").Explain(t.Context(), api.ExplainRequest{Image: "other.example/a:b", Project: "acme/vision", Action: "push"}); err != nil || e.Outcome != api.OutcomeFailed {
		t.Errorf("a push: %+v, %v", e, err)
	}
}

// V2: personal projects have no registries, and where an organization is named too the rule that refuses each is told.
func TestV2ExplainOfAPersonalProject(t *testing.T) {
	k := newKit(t)
	k.projects()
	k.registry()
	e, err := k.client("alice").Explain(t.Context(), api.ExplainRequest{Image: "images.example/a:b", Project: "alice/own", Organization: "acme"})
	k.must(err)
	if e.Outcome != api.OutcomeAnonymous || !e.Personal || len(e.Candidates) != 1 || e.Candidates[0].Rule != "personal-project" || e.Candidates[0].Accepted || e.Credential != nil {
		t.Errorf("explanation is %+v", e)
	}
	e, err = k.client("alice").Explain(t.Context(), api.ExplainRequest{Image: "images.example/a:b", Project: "alice/own"})
	k.must(err)
	if e.Outcome != api.OutcomeAnonymous || len(e.Candidates) != 0 || !strings.Contains(e.Hint, "organization") {
		t.Errorf("explanation is %+v", e)
	}
}

// A question that names no project sees only registries that are open to all.
func TestExplainWithoutAProject(t *testing.T) {
	k := newKit(t)
	k.projects()
	_, err := k.client("alice").CreateRegistry(t.Context(), "acme", api.Registry{Name: "listed", Match: []string{"images.example/*"}, Projects: &api.Projects{Names: []string{"vision"}}})
	k.must(err)
	e, err := k.client("bob").Explain(t.Context(), api.ExplainRequest{Image: "images.example/a:b", Organization: "acme"})
	k.must(err)
	if e.Outcome != api.OutcomeAnonymous || len(e.Candidates) != 1 || e.Candidates[0].Rule != "project-unknown" {
		t.Errorf("explanation is %+v", e)
	}
}

// With an agent the answer is the agent's, but for whom and what was asked.
func TestExplainAsksAnAgent(t *testing.T) {
	k := newKit(t)
	k.projects()
	node := k.client("node")
	_, _, err := node.TakeWork(t.Context(), 0, 0) // the server knows of an agent from here on
	k.must(err)
	answered := make(chan error, 1)
	go func() { answered <- answerOne(t.Context(), node) }()
	e, err := k.client("bob").Explain(t.Context(), api.ExplainRequest{Image: "images.example/a:b", Project: "acme/vision"})
	k.must(err)
	k.must(<-answered)
	if e.From != "node:local" || e.Sentence != "as the node sees it: images.example/a:b for acme/vision, pull" || e.Image.Repository != "a" || e.Project != "acme/vision" {
		t.Errorf("explanation is %+v", e)
	}
}

func answerOne(ctx context.Context, node *api.Client) error {
	for {
		_, questions, err := node.TakeWork(ctx, 0, api.MaxWait)
		if err != nil {
			return err
		}
		for _, q := range questions {
			sentence := "as the node sees it: " + q.Image + " for " + q.Owner + "/" + q.Project + ", " + q.Action
			if err := node.Answer(ctx, q.ID, api.Answer{Explanation: &api.Explanation{From: "somebody else", Outcome: api.OutcomeRegistry, Sentence: sentence, Project: "forged/project"}}); err != nil {
				return err
			}
			if err := node.Answer(ctx, q.ID, api.Answer{}); !errors.Is(err, pierhead.ErrNotFound) {
				return errors.New("a second answer was taken")
			}
			return nil
		}
	}
}

func TestExplainRefuses(t *testing.T) {
	k := newKit(t)
	k.projects()
	for name, request := range map[string]api.ExplainRequest{
		"no image":             {Organization: "acme"},
		"a bad image":          {Image: "A B", Organization: "acme"},
		"nothing to ask about": {Image: "a.example/b"},
		"a bad project":        {Image: "a.example/b", Project: "acme"},
		"a bad action":         {Image: "a.example/b", Organization: "acme", Action: "run"},
		"two organizations":    {Image: "a.example/b", Project: "acme/vision", Organization: "umbrella"},
	} {
		if _, err := k.client("alice").Explain(t.Context(), request); !errors.Is(err, pierhead.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Members see which registry serves an image, and nothing of its settings.
func TestExplainShowsMembersNoSettings(t *testing.T) {
	k := newKit(t)
	_, err := k.client("alice").CreateRegistry(t.Context(), "acme", api.Registry{
		Name: "images", Match: []string{"images.example/*"}, PrivateNetworks: []string{"10.9.8.0/24"}, Realms: []string{"realm.example"},
	})
	k.must(err)
	e, err := k.client("bob").Explain(t.Context(), api.ExplainRequest{Image: "images.example/a:b", Organization: "acme"})
	k.must(err)
	text, err := json.Marshal(e)
	k.must(err)
	if strings.Contains(string(text), "10.9.8.0") || strings.Contains(string(text), "realm.example") {
		t.Errorf("settings are in %s", text)
	}
}
