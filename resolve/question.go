package resolve

import (
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// A Question is one image as far as it is known, and who asks. What a door does not know stays unknown.
type Question struct {
	Personal bool   // asked for a personal project: no registry serves it
	Project  string // name within the organization; "" is unknown, and then only registries open to all serve

	Host       string // canonical, as image.CanonicalHost makes it
	Repository string // "" is unknown
	Tag        string // known and "": there is none, the image is named by digest alone
	TagKnown   bool

	// Digest and Push are for those who tell the answer: no pattern names a digest, and a registry covers the same
	// images for pull and push.
	Digest      string
	DigestKnown bool
	Push        bool
}

// Ask makes the question for a reference; the caller fills in who asks.
func Ask(r image.Reference) Question {
	return Question{
		Host: r.Host(), Repository: r.Repository(),
		Tag: r.Tag(), TagKnown: r.TagKnown(),
		Digest: r.Digest(), DigestKnown: r.DigestKnown(),
	}
}

// An Outcome is the kind of an answer.
type Outcome int

// The outcomes.
const (
	None      Outcome = iota // no registry that the caller may use covers the image
	Matched                  // one does
	Ambiguous                // it depends on what is not known, or nothing decides between two
)

// String is the outcome as programs print it.
func (o Outcome) String() string {
	switch o {
	case None:
		return "none"
	case Matched:
		return "matched"
	case Ambiguous:
		return "ambiguous"
	}
	return fmt.Sprintf("Outcome(%d)", int(o))
}

// A Reason says why an answer is ambiguous.
type Reason string

// The reasons. The texts are stable: programs may depend on them.
const (
	ReasonTie               Reason = "tie"                // two registries with equally specific patterns
	ReasonTagUnknown        Reason = "tag-unknown"        // the tag would decide
	ReasonRepositoryUnknown Reason = "repository-unknown" // the repository would decide
)

// A Candidate is a registry with the pattern by which it covers, or could cover, an image. Without a registry it stands
// for "no registry at all".
type Candidate struct {
	Registry *pierhead.Registry // the table's own; not to be changed
	Pattern  string             // as written in Registry.Match
}

// String names the candidate for people.
func (c Candidate) String() string {
	if c.Registry == nil {
		return "no registry"
	}
	return fmt.Sprintf("registry %s (%s)", c.Registry.Name, c.Pattern)
}

// An Answer is the registry that an image belongs to.
type Answer struct {
	Outcome Outcome
	Candidate
	Reason Reason       // of an ambiguous one
	Either [2]Candidate // of an ambiguous one: two that it could be, the more specific first
}

// Explain says the answer in one sentence, without a full stop.
func (a Answer) Explain() string {
	switch {
	case a.Outcome == Matched:
		return fmt.Sprintf("it belongs to %v", a.Candidate)
	case a.Outcome == None:
		return "no registry that may be used here covers it"
	case a.Reason == ReasonTagUnknown:
		return fmt.Sprintf("the tag is not known here, and with it the answer would be %v or %v", a.Either[0], a.Either[1])
	case a.Reason == ReasonRepositoryUnknown:
		return fmt.Sprintf("only the host is known here, and with the repository the answer would be %v or %v", a.Either[0], a.Either[1])
	}
	return fmt.Sprintf("%v and %v cover it equally, and nothing decides between them", a.Either[0], a.Either[1])
}

// String is Explain.
func (a Answer) String() string { return a.Explain() }

// Hint says what to do about an ambiguous answer, or "".
func (a Answer) Hint() string {
	switch {
	case a.Outcome != Ambiguous:
		return ""
	case a.Reason == ReasonTagUnknown:
		return "write the patterns without a tag, or name the image with its tag in an execution"
	case a.Reason == ReasonRepositoryUnknown:
		return "use an execution, the mirror or the kubelet plugin, which know the repository, or let one registry cover the whole host"
	}
	return "take the pattern out of one of the two, or list different projects in them"
}
