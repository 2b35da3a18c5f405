package image

import (
	_ "crypto/sha256" // go-digest accepts only the algorithms that are linked
	_ "crypto/sha512"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// DefaultTag is the tag of a reference that names neither tag nor digest.
const DefaultTag = "latest"

// longestName is what many clients allow for host, slash and repository together (OCI distribution 1.1, "Pulling
// manifests"); a longer one is legal.
const longestName = 255

// longestRepository is the grammar's limit in bytes.
const longestRepository = reference.RepositoryNameTotalLengthMax

// A Reference names an image: host/repository[:tag][@digest]. It is a value; == compares it, the text as written
// included. The zero value names nothing.
type Reference struct {
	written    string
	host       string // canonical
	repository string
	tag        string
	digest     string
	tagUnknown bool
	tagImplied bool
	digUnknown bool
}

// Parse reads a reference as people write it, with Docker's short names: "ubuntu" is docker.io/library/ubuntu. A
// reference with neither tag nor digest has the tag "latest", marked as implied; a digest alone means that there is
// no tag, and that this is known. Errors: every one of this package but ErrPattern and ErrWideHost.
func Parse(s string) (Reference, error) {
	r, err := parse(s)
	if err != nil {
		return Reference{}, err
	}
	if r.tag == "" && r.digest == "" {
		r.tag, r.tagImplied = DefaultTag, true
	}
	return r, nil
}

// ParseName reads a reference from a door that is told the image without its tag, as kubelet tells its credential
// provider. A tag or digest that is there is known; without either, both are unknown and not "latest". Errors: as Parse.
func ParseName(s string) (Reference, error) {
	r, err := parse(s)
	if err != nil {
		return Reference{}, err
	}
	if r.tag == "" && r.digest == "" {
		r.tagUnknown, r.digUnknown = true, true
	}
	return r, nil
}

// New makes a Reference from a host and a repository known apart, as a mirror is asked for them; tag and digest are
// unknown. The repository has no short form here, but for Docker Hub's official images. Errors: as Parse.
func New(host, repository string) (Reference, error) {
	canonical, path, err := CanonicalServer(host)
	if err != nil {
		return Reference{}, err
	}
	if path != "" {
		return Reference{}, fault("host", host, ErrHost, "write only the host; the repository is told apart")
	}
	if strings.ContainsAny(repository, ":@") {
		return Reference{}, fault("repository", repository, ErrRepository, "write it without tag and digest")
	}
	r, err := parse(unambiguous(canonical) + "/" + repository)
	if err != nil {
		return Reference{}, err
	}
	r.tagUnknown, r.digUnknown = true, true
	return r, nil
}

// OfHost makes a Reference from a door that is told the host alone, as a Docker credential helper is: in any of the forms
// that CanonicalHost reads. Repository, tag and digest are unknown. Errors: as CanonicalHost.
func OfHost(host string) (Reference, error) {
	canonical, err := CanonicalHost(host)
	if err != nil {
		return Reference{}, err
	}
	return Reference{written: host, host: canonical, tagUnknown: true, digUnknown: true}, nil
}

// Named is the reference as a door knows it that is told host and repository only: tag and digest become unknown.
func (r Reference) Named() Reference {
	r.tag, r.digest, r.tagUnknown, r.digUnknown, r.tagImplied = "", "", true, true, false
	r.written = r.String()
	return r
}

// parse reads the text as given and only then canonicalises the host.
func parse(s string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{}, explain(s, err)
	}
	host, repository := reference.Domain(named), reference.Path(named)
	if host == "" { // the grammar lets foo_bar.com/app through as a path without a host
		first, _, _ := strings.Cut(s, "/")
		return Reference{}, fault("image reference", s, ErrHost, hostAdvice(first))
	}
	canonical, err := foldHost(host)
	if err != nil {
		return Reference{}, fault("image reference", s, ErrHost, err.Error())
	}
	if canonical == Hub && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	if len(repository) > longestRepository {
		return Reference{}, fault("image reference", s, ErrTooLong, tooLongAdvice)
	}
	r := Reference{written: s, host: canonical, repository: repository}
	if tagged, ok := named.(reference.Tagged); ok {
		r.tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		r.digest = digested.Digest().String()
	}
	return r, nil
}

// WithTag returns the reference with a tag that became known. Errors: ErrTag.
func (r Reference) WithTag(tag string) (Reference, error) {
	if err := checkTag(tag, false); err != nil {
		return Reference{}, fault("tag", tag, ErrTag, err.Error())
	}
	r.tag, r.tagUnknown, r.tagImplied = tag, false, false
	r.written = r.String()
	return r, nil
}

// WithDigest returns the reference with a digest that became known. An implied tag goes, since the digest now says
// what the image is; a written or unknown one stays. Errors: ErrDigest.
func (r Reference) WithDigest(text string) (Reference, error) {
	if _, err := digest.Parse(text); err != nil {
		return Reference{}, fault("digest", text, ErrDigest, digestAdvice)
	}
	if r.tagImplied {
		r.tag, r.tagImplied = "", false
	}
	r.digest, r.digUnknown = text, false
	r.written = r.String()
	return r, nil
}

// Written is the text as it was given: what is pulled, shown and logged.
func (r Reference) Written() string { return r.written }

// Host is the registry host in the form of CanonicalHost.
func (r Reference) Host() string { return r.host }

// DialHost is the "host[:port]" to connect to: Docker Hub's references say docker.io, its registry is elsewhere.
func (r Reference) DialHost() string { return DialHost(r.host) }

// DialHost is what Reference.DialHost says of a canonical host.
func DialHost(canonical string) string {
	if canonical == Hub {
		return HubDial
	}
	return canonical
}

// Repository is the path below the host, for Docker Hub's official images with library/; "" where it is not known.
func (r Reference) Repository() string { return r.repository }

// Name is host and repository, "docker.io/library/ubuntu"; the host alone where only that is known.
func (r Reference) Name() string {
	if r.repository == "" {
		return r.host
	}
	return r.host + "/" + r.repository
}

// Tag is the tag, or "" where there is none or it is not known.
func (r Reference) Tag() string { return r.tag }

// TagKnown is false where the tag is not known; known and "" means that there is none.
func (r Reference) TagKnown() bool { return !r.tagUnknown }

// TagImplied tells that the tag is "latest" because neither tag nor digest was written.
func (r Reference) TagImplied() bool { return r.tagImplied }

// Digest is "sha256:…" or "sha512:…", or "" where there is none or it is not known.
func (r Reference) Digest() string { return r.digest }

// DigestKnown is false where the digest is not known; known and "" means that there is none.
func (r Reference) DigestKnown() bool { return !r.digUnknown }

// IsZero tells whether this is the zero value.
func (r Reference) IsZero() bool { return r.host == "" }

// String is the canonical text, for comparing and for keys. Parse reads it back to the same image, unless it is a host alone.
func (r Reference) String() string {
	if r.IsZero() {
		return ""
	}
	if r.repository == "" {
		return r.host
	}
	text := unambiguous(r.host) + "/" + r.repository
	if r.tag != "" {
		text += ":" + r.tag
	}
	if r.digest != "" {
		text += "@" + r.digest
	}
	return text
}

// unambiguous writes a host so that a parser takes it for one: "myreg" alone would be a namespace of Docker Hub.
func unambiguous(host string) string {
	if host == "localhost" || strings.ContainsAny(host, ".:") {
		return host
	}
	return host + ":443"
}

// Warnings says, one sentence each, what is legal but likely to go wrong.
func (r Reference) Warnings() []string {
	var warnings []string
	if n := len(r.Name()); n > longestName {
		warnings = append(warnings, fmt.Sprintf("host and repository have %d characters together; many clients and registries stop at %d", n, longestName))
	}
	if r.host == Hub && strings.HasPrefix(r.repository, "library/sha") && len(r.tag) >= 64 {
		warnings = append(warnings, fmt.Sprintf("a digest alone names no image: this is read as the tag of a Docker Hub image %q", r.repository))
	}
	return warnings
}
