package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/store"
)

// Checks is what the looks at credentials need of the store. Errors: pierhead.ErrNotAllowed for everyone but the process.
type Checks interface {
	// PutCheck keeps what was found about a registry as it was then.
	PutCheck(ctx context.Context, c pierhead.Caller, r pierhead.Registry, check pierhead.Check) error
	// PostponeCheck moves a look that no node could have.
	PostponeCheck(ctx context.Context, c pierhead.Caller, registryID string, until time.Time) error
	// DueChecks are registries whose next look is due.
	DueChecks(ctx context.Context, c pierhead.Caller, max int) ([]store.CheckSubject, error)
}

// saving are the parameters of requests that save a registry.
type saving struct {
	NoTest bool          `query:"no_test" doc:"Save it without having a node prove its credential."`
	Wait   time.Duration `query:"wait" doc:"How long the node may take to prove it, at most 60s; absent: 60s."`
}

type testRegistry struct {
	registryPath
	Wait time.Duration    `query:"wait" doc:"How long the node may take, at most 60s; absent: 60s."`
	Body api.CheckRequest `body:"json"`
}

// probeEvery is the shortest time between two looks at one credential with one image: whoever asks again meanwhile gets
// the answer of the first.
const probeEvery = time.Minute

// proveDraft has a node prove the credential of a registry that is about to be saved, and gives r the id that it is proved
// under. The check is that of "never" when there is nothing to prove, or no node to do so. Error: what was found, when it
// is bad; then nothing may be saved.
func (s *Server) proveDraft(ctx context.Context, c pierhead.Caller, organization string, r *pierhead.Registry, update bool, how saving) (pierhead.Check, error) {
	if how.NoTest || !r.Enabled || !r.HasCredential() {
		return pierhead.Check{}, nil
	}
	subject, err := s.config.Store.DraftRegistry(ctx, c, organization, *r, update)
	if err != nil {
		return pierhead.Check{}, err
	}
	r.ID = subject.Registry.ID
	check, looked := s.look(ctx, subject, imageToAsk(subject, ""), how.Wait)
	if !looked {
		return pierhead.Check{}, nil
	}
	return check, badNews(check, "registry "+organization+"/"+r.Name+" was not saved: ", "; to save it all the same, say --no-test")
}

// badNews is the error for people that a bad result of a check is, or nil.
func badNews(check pierhead.Check, before, after string) error {
	if check.Result != pierhead.CheckRefused && check.Result != pierhead.CheckFailed {
		return nil
	}
	return pierhead.NewProblem(pierhead.ErrPull, before+check.Reason, check.Hint+after)
}

// saved keeps what was proved of a registry beside it, and shows both.
func (s *Server) saved(ctx context.Context, r pierhead.Registry, organization string, check pierhead.Check, err error) (api.Registry, error) {
	if err != nil {
		return api.Registry{}, err
	}
	if check.Result != pierhead.CheckNever {
		if err := s.config.Store.PutCheck(ctx, pierhead.System(), r, check); err != nil {
			return api.Registry{}, err
		}
	}
	r.Check = check
	return api.RegistryOf(r, organization), nil
}

// testRegistry looks at a saved registry, and keeps and returns what was found, bad news too.
func (s *Server) testRegistry(ctx context.Context, c pierhead.Caller, in testRegistry) (api.Check, error) {
	subject, err := s.config.Store.SavedRegistry(ctx, c, in.Organization, in.Registry)
	if err != nil {
		return api.Check{}, err
	}
	if !subject.Registry.HasCredential() {
		return api.Check{}, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("registry %s has no credential of its own to test", in.Registry), "see what an image gets: pier explain IMAGE")
	}
	if in.Body.Image != "" {
		if err := mustCover(subject.Registry, in.Body.Image); err != nil {
			return api.Check{}, err
		}
	}
	check, looked := s.look(ctx, subject, imageToAsk(subject, in.Body.Image), in.Wait)
	if !looked {
		return api.Check{}, pierhead.NewProblem(pierhead.ErrUnreachable, "no node answered in time", "see that an agent runs: pier up, or pier agent on a node")
	}
	if err := s.config.Store.PutCheck(ctx, pierhead.System(), subject.Registry, check); err != nil {
		return api.Check{}, err
	}
	return *api.CheckOf(check), nil
}

func mustCover(r pierhead.Registry, text string) error {
	reference, err := image.Parse(text)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	if !slices.ContainsFunc(r.Match, func(text string) bool {
		pattern, err := image.ParsePattern(text)
		return err == nil && pattern.Matches(reference) == image.Yes
	}) {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%s is not covered by registry %s", reference, r.Name), "name an image that one of its match patterns covers")
	}
	return nil
}

// imageToAsk is what a check asks for: the image that somebody names, the registry's sample, the image that was pulled last
// under its patterns, or the repository that a pattern names; else "".
func imageToAsk(subject store.CheckSubject, named string) string {
	switch {
	case named != "":
		return named
	case subject.Registry.Sample != "":
		return subject.Registry.Sample
	case subject.Newest != "":
		return subject.Newest
	}
	for _, text := range subject.Registry.Match {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			continue
		}
		host, literal := pattern.Literal()
		if repository, one := pattern.Repository(); literal && one {
			if tag := pattern.Tag(); image.TagIsNarrow(tag) && !image.HasGlob(tag) {
				repository += ":" + tag
			}
			return host + "/" + repository
		}
	}
	return ""
}

// look has a node look at a credential; false when none took the question.
func (s *Server) look(ctx context.Context, subject store.CheckSubject, image string, wait time.Duration) (pierhead.Check, bool) {
	if wait == 0 || wait > api.MaxWait {
		wait = api.MaxWait
	}
	wire := api.RegistryForNode(subject.Registry, subject.Organization.Name)
	check, looked := s.probes.do(probeKey(wire, image), s.config.Now, func() (pierhead.Check, bool) {
		answer, taken := s.questions.ask(ctx, api.Question{
			Image: image, Organization: subject.Organization.Name, OrganizationID: subject.Organization.ID, Action: "check", Check: &wire,
		}, s.config.CheckWait, wait)
		if answer != nil && answer.Check != nil {
			check := answer.Check.Noun()
			check.At = s.config.Now()
			return check, true
		}
		return pierhead.Check{Result: pierhead.CheckFailed, At: s.config.Now(), Image: image, Reason: "the node that looked at the credential did not come back in time",
			Hint: "try again; if it stays so, the operator looks at the agent's log"}, taken
	})
	if age := s.config.Now().Sub(check.At).Round(time.Second); looked && age >= time.Second {
		check.Reason += fmt.Sprintf(" (found %v ago; a registry is asked at most once a minute)", age)
	}
	return check, looked
}

// probeKey tells one credential, with one image, from another without keeping either.
func probeKey(r api.Registry, image string) [sha256.Size]byte {
	r.CreatedAt, r.UpdatedAt = nil, nil
	text, _ := json.Marshal(r) // a wire type always encodes
	return sha256.Sum256(append(text, image...))
}

// probes are the looks of the last minute.
type probes struct {
	mu   sync.Mutex
	made map[[sha256.Size]byte]*probe
}

type probe struct {
	began  time.Time
	done   chan struct{}
	check  pierhead.Check
	looked bool
}

// do looks, or waits for the look at the same that began less than a minute ago and gives its answer. A look that no node
// took is none.
func (p *probes) do(key [sha256.Size]byte, now func() time.Time, look func() (pierhead.Check, bool)) (pierhead.Check, bool) {
	p.mu.Lock()
	for other, made := range p.made {
		if now().Sub(made.began) >= probeEvery {
			delete(p.made, other)
		}
	}
	if made := p.made[key]; made != nil {
		p.mu.Unlock()
		<-made.done
		return made.check, made.looked
	}
	made := &probe{began: now(), done: make(chan struct{})}
	if p.made == nil {
		p.made = map[[sha256.Size]byte]*probe{}
	}
	p.made[key] = made
	p.mu.Unlock()
	made.check, made.looked = look()
	if !made.looked || made.check.Result == pierhead.CheckFailed { // the registry was not asked: there is nothing to spare
		p.mu.Lock()
		delete(p.made, key)
		p.mu.Unlock()
	}
	close(made.done)
	return made.check, made.looked
}

// watchEvery is how often due looks are sought, and dueAtOnce how many are had in one go: a node has other work too.
const (
	watchEvery = 20 * time.Second
	dueAtOnce  = 16
)

// Watch has nodes look at registries' credentials on schedule, until ctx ends. What it finds is kept; nothing is disabled.
func (s *Server) Watch(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if s.questions.anybody() {
			if err := s.lookAtDue(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.Warn("looking at registries' credentials", "error", err)
			}
		}
		timer.Reset(watchEvery)
	}
}

// lookAtDue looks at what is due, one after the other.
func (s *Server) lookAtDue(ctx context.Context) error {
	due, err := s.config.Store.DueChecks(ctx, pierhead.System(), dueAtOnce)
	if err != nil {
		return err
	}
	for _, subject := range due {
		var check pierhead.Check
		var looked bool
		if s.questions.present(subject.Organization.ID) {
			check, looked = s.look(ctx, subject, imageToAsk(subject, ""), 0)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case looked:
			err = s.config.Store.PutCheck(ctx, pierhead.System(), subject.Registry, check)
		default:
			err = s.config.Store.PostponeCheck(ctx, pierhead.System(), subject.Registry.ID, s.config.Now().Add(probeEvery))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
