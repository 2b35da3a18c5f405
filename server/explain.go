package server

import (
	"context"
	"fmt"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/audit"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

type explainImage struct {
	Body api.ExplainRequest `body:"json"`
}

func (s *Server) explainRoutes() {
	handle(s, operation{id: "explain", method: http.MethodPost, path: "/explain", tag: "registries", summary: "Tell which credential an image would get, and why"}, s.explain)
}

// A subject is what an explanation is about, its names looked up as the caller may.
type subject struct {
	image        image.Reference
	project      pierhead.Project      // zero: the question names none
	organization pierhead.Organization // zero: a personal project, and none was named
	push         bool
	door         string
	known        image.Reference // what of the image that door knows
}

// explain asks an agent, which looks at secrets and its own identity too; when none answers in time, the registries
// alone are told.
func (s *Server) explain(ctx context.Context, c pierhead.Caller, in explainImage) (api.Explanation, error) {
	about, err := s.subjectOf(ctx, c, in.Body)
	if err != nil {
		return api.Explanation{}, err
	}
	if err := s.config.Store.Record(ctx, c, about.entry()); err != nil {
		return api.Explanation{}, err
	}
	var explanation api.Explanation
	if told := s.agentsExplanation(ctx, about); told != nil {
		explanation = *told
	} else if explanation, err = s.ownExplanation(ctx, c, about); err != nil {
		return api.Explanation{}, err
	}
	about.label(&explanation)
	return explanation, nil
}

// agentsExplanation is nil when no agent answers in time.
func (s *Server) agentsExplanation(ctx context.Context, about subject) *api.Explanation {
	if !s.questions.present(about.question().OrganizationID) {
		return nil
	}
	answer, _ := s.questions.ask(ctx, about.question(), s.config.ExplainWait, s.config.ExplainWait)
	if answer == nil {
		return nil
	}
	return answer.Explanation
}

func (s *Server) subjectOf(ctx context.Context, c pierhead.Caller, in api.ExplainRequest) (subject, error) {
	about := subject{push: in.Action == "push", door: in.Door}
	if in.Action != "" && in.Action != "pull" && !about.push {
		return about, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("action is %q", cut(in.Action)), "it is pull or push")
	}
	var err error
	if about.image, err = image.Parse(in.Image); err != nil {
		return about, pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	if about.known, err = api.KnownAt(in.Door, about.image); err != nil {
		return about, err
	}
	if in.Door != "" && (about.push || in.Project != "" && in.Door != string(doors.Kubelet)) {
		return about, pierhead.NewProblem(pierhead.ErrBadInput, "a runtime that comes by the door "+in.Door+" pulls, for no project that is known", "leave action and project out, and name the organization")
	}
	organization := in.Organization
	if in.Project != "" {
		if organization, err = s.subjectProject(ctx, c, in, &about); err != nil {
			return about, err
		}
	}
	switch {
	case organization != "":
		about.organization, err = s.subjectOrganization(ctx, c, organization)
	case in.Project == "":
		err = pierhead.NewProblem(pierhead.ErrBadInput, "the question names neither a project nor an organization", "say --project OWNER/NAME or --org NAME")
	}
	return about, err
}

// subjectOrganization looks the organization up. Its members may ask; whoever only knows that it is there may not.
func (s *Server) subjectOrganization(ctx context.Context, c pierhead.Caller, name string) (pierhead.Organization, error) {
	o, err := s.config.Store.Organization(ctx, c, name)
	if err == nil && c.RoleIn(o.ID) == "" {
		err = pierhead.NewProblem(pierhead.ErrNotAllowed, fmt.Sprintf("%s may not ask about the registries of organization %s", c.Name, o.Name), "this takes a member of the organization")
	}
	return o, err
}

// subjectProject looks the project up and returns the organization whose registries count.
func (s *Server) subjectProject(ctx context.Context, c pierhead.Caller, in api.ExplainRequest, about *subject) (string, error) {
	owner, name, err := splitProject(in.Project)
	if err != nil {
		return "", err
	}
	if about.project, err = s.config.Store.Project(ctx, c, owner, name); err != nil {
		return "", err
	}
	switch {
	case about.project.Personal():
		return in.Organization, nil // named to be told why it does not count
	case in.Organization != "" && in.Organization != owner:
		return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("project %s is not of organization %s", in.Project, cut(in.Organization)), "leave the organization out")
	}
	return owner, nil
}

func (a subject) action() string {
	if a.push {
		return "push"
	}
	return "pull"
}

// question is the subject as an agent gets it.
func (a subject) question() api.Question {
	return api.Question{
		Image: a.image.Written(), Project: a.project.Name, Owner: a.project.Owner, Personal: a.project.Personal(),
		Organization: a.organization.Name, OrganizationID: a.organization.ID, Action: a.action(), Door: a.door,
	}
}

// entry is the question in the audit log: the node that answers knows nothing of who asked. It belongs to the
// organization, or to the person whose personal project it is about.
func (a subject) entry() audit.Entry {
	e := audit.Entry{Action: "image.explain", Object: "image " + a.image.String(), OrganizationID: a.organization.ID, Outcome: audit.OK, Detail: map[string]string{"action": a.action()}}
	if a.project.ID != "" {
		e.Detail["project"] = a.project.FullName()
	}
	if e.OrganizationID == "" {
		e.OrganizationID = a.project.PersonID
	}
	return e
}

// label writes who and what was asked about: the server's own knowledge, whoever answered.
func (a subject) label(e *api.Explanation) {
	e.Action, e.Personal, e.Organization, e.Door = a.action(), a.project.Personal(), a.organization.Name, a.door
	e.Image = api.ExplainedImage{
		Written: a.image.Written(), Canonical: a.image.String(), Host: a.image.Host(), Repository: a.image.Repository(),
		Tag: a.image.Tag(), Digest: a.image.Digest(),
	}
	if a.project.ID != "" {
		e.Project = a.project.FullName()
	}
	if e.Steps == nil {
		e.Steps = []api.ExplainedStep{}
	}
	if e.Candidates == nil {
		e.Candidates = []api.ExplainedCandidate{}
	}
}
