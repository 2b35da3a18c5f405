package store

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

// Shapes of what names somebody at a cloud. IAM: the ARN of a role in any partition. External ids: 2 to 1224 characters
// (STS, AssumeRole). Google: a service account's e-mail.
var (
	roleARN        = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$`)
	externalID     = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
	serviceAccount = regexp.MustCompile(`^[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com$`)
)

func checkCredential(r *pierhead.Registry) error {
	credential := r.Credential
	given := 0
	for _, is := range []bool{credential.Secret != "", credential.Sealed != "", credential.Identity != ""} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return badInput("credential: it is one of secret, sealed and identity", "leave the others out")
	case credential.Secret != "":
		if err := checkSecret(credential.Secret); err != nil {
			return err
		}
	case credential.Sealed != "" && sealedKeyID(credential.Sealed) == "":
		return badInput("credential: it is not a sealed credential", "pier seals it: pier registry add --username U --password-stdin")
	case credential.Identity != "" && credential.Identity != pierhead.IdentityNode:
		return badInput("credential: there is no identity %q", "it is node, or absent", cut(string(credential.Identity)))
	case credential.Identity != "" && !image.Vendor(r.Type).Cloud():
		return badInput("credential: a node has no identity at a registry of type %s", "give a secret, or a user name and password", r.Type)
	}
	return checkStandIn(r)
}

// checkStandIn sees to the role or account that the credential's identity stands in for.
func checkStandIn(r *pierhead.Registry) error {
	credential := r.Credential
	some := credential.Secret != "" || credential.Sealed != "" || credential.Identity != ""
	switch {
	case credential.AssumeRole == "" && credential.ExternalID == "" && credential.Impersonate == "":
		return nil
	case !some:
		return badInput("credential: somebody must assume the role or impersonate the account", "add identity: node, or a secret with keys")
	case credential.AssumeRole != "" && r.Type != pierhead.RegistryECR:
		return badInput("credential: assume_role is of use for type ecr only", "leave it out")
	case credential.AssumeRole != "" && !roleARN.MatchString(credential.AssumeRole):
		return badInput("credential: assume_role is not the ARN of a role", "write it as arn:aws:iam::123456789012:role/NAME")
	case credential.ExternalID != "" && credential.AssumeRole == "":
		return badInput("credential: external_id is of use beside assume_role only", "leave it out, or add assume_role")
	case credential.ExternalID != "" && (len(credential.ExternalID) > 1224 || !externalID.MatchString(credential.ExternalID)):
		return badInput("credential: external_id is not 2 to 1224 letters, digits and +=,.@:/-_", "copy it from the role's trust policy")
	case strings.HasPrefix(credential.ExternalID, "org_") && credential.ExternalID != r.OrganizationID:
		// Ids of organizations are what is sent when nothing is written; another one's would open that one's roles.
		return badInput("credential: external_id is the id of another organization", "leave it out: then "+r.OrganizationID+" is sent")
	case credential.Impersonate != "" && r.Type != pierhead.RegistryGCP:
		return badInput("credential: impersonate is of use for type gcp only", "leave it out")
	case credential.Impersonate != "" && !serviceAccount.MatchString(credential.Impersonate):
		return badInput("credential: impersonate is not a service account", "write its e-mail, as in puller@my-project.iam.gserviceaccount.com")
	}
	return nil
}

// secretForms are the schemes of secret references, how each is written, and the shape of what follows the scheme. The
// store of the secret reads it again, more strictly.
var secretForms = []struct {
	scheme, form string
	shape        *regexp.Regexp
}{
	{"file", "file:NAME", regexp.MustCompile(`^[^/\\]*[^/\\.][^/\\]*$`)},
	{"env", "env:NAME", regexp.MustCompile(`^[^/\\]*[^/\\.][^/\\]*$`)},
	{"arn", "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME", regexp.MustCompile(`^aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+$`)},
	{"gcpsm", "gcpsm:projects/PROJECT/secrets/NAME", regexp.MustCompile(`^projects/[^/]+/(locations/[^/]+/)?secrets/[\w-]+(/versions/[\w-]+)?$`)},
	{"https", "https://VAULT.vault.azure.net/secrets/NAME", regexp.MustCompile(`^//[a-z0-9-]+\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net)/secrets/[A-Za-z0-9-]+(/[0-9a-f]+)?$`)},
	{"vault", "vault:MOUNT/PATH", regexp.MustCompile(`^[^/?#]+(/[^/?#]+)+(\?[^#]*)?(#.+)?$`)},
	{"k8s", "k8s:NAME", regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[\w.-]+)?$`)},
}

func knownScheme(scheme string) bool {
	for _, f := range secretForms {
		if f.scheme == scheme {
			return true
		}
	}
	return false
}

// checkSecret sees that the reference is one; what its store makes of the name is told by the check on a node.
func checkSecret(text string) error {
	ref, err := secret.Parse(text)
	if err != nil {
		var e *secret.Error
		if errors.As(err, &e) {
			return badInput("credential: %s", e.Hint, e.Text)
		}
		return badInput("credential: it is not a secret reference", "write file:NAME or env:NAME")
	}
	var forms []string
	for _, f := range secretForms {
		switch {
		case f.scheme != ref.Scheme():
			forms = append(forms, f.form)
		case f.shape.MatchString(ref.Name()):
			return nil
		case f.scheme == "file" || f.scheme == "env":
			return badInput("credential: the name of a secret is one word", "write file:NAME, where NAME lies in the agent's --secrets-dir, or env:NAME for its variable PIER_SECRET_NAME")
		default:
			return badInput("credential: the secret reference is not one of its kind", "write it as "+f.form)
		}
	}
	return badInput("credential: there is no place for secrets of that scheme", "write "+strings.Join(forms, ", or "))
}

// checkProxy wants scheme, host and port, and no login: the control plane keeps none.
func checkProxy(r *pierhead.Registry) error {
	if r.Proxy == "" {
		return nil
	}
	const hint = "write http://HOST:PORT or https://HOST:PORT, without a login"
	u, err := url.Parse(r.Proxy)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return badInput("proxy: it is not the address of a proxy", hint)
	}
	if _, err := image.CanonicalHost(u.Host); err != nil {
		return badInput("proxy: its host is not one", hint)
	}
	if port, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || port < 1 || port > 65535) {
		return badInput("proxy: its port is not one", hint)
	}
	r.Proxy = u.Scheme + "://" + u.Host
	return nil
}

// checkSample sees that the sample is an image of this registry, and saves it in full.
func checkSample(r *pierhead.Registry) error {
	if r.Sample == "" {
		return nil
	}
	reference, err := r.SampleReference()
	if err != nil {
		return badInput("sample: %v", "write the image in full, as in "+exampleImage(r), err)
	}
	if !slices.ContainsFunc(r.Match, func(text string) bool {
		pattern, err := image.ParsePattern(text)
		return err == nil && pattern.Matches(reference) == image.Yes
	}) {
		return badInput("sample: %s is not covered by match", "name an image that the registry covers", reference)
	}
	r.Sample = reference.Written()
	return nil
}

func exampleImage(r *pierhead.Registry) string {
	hosts, _ := image.LiteralHosts(r.Match)
	if len(hosts) == 0 {
		return "HOST/REPOSITORY:TAG"
	}
	return hosts[0] + "/ml-training:v2.0"
}

func checkCreate(r *pierhead.Registry) error {
	if r.CreateRepositories && r.Type != pierhead.RegistryECR {
		return badInput("create_repositories: registries of type %s make repositories by themselves", "leave it out", r.Type)
	}
	return nil
}

// checkHelper refuses a scope under which nothing could be lent: whoever asks at a node's socket names no project.
func checkHelper(r *pierhead.Registry) error {
	switch {
	case r.Helper == "":
		return nil
	case r.Helper != pierhead.HelperWholeHost:
		return badInput("helper: there is no choice %q", "it is whole-host, or left out", cut(string(r.Helper)))
	case !r.Projects.All:
		return badInput("helper: the Docker helper of a node asks for no project, and this registry is for some projects only", "open it to all projects, or leave helper out")
	}
	return nil
}
