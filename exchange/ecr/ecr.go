// Package ecr serves Amazon's registries: the private ones of every account, region and partition, and ECR Public.
//
// Their logins are passwords of twelve hours that ECR's API gives to whoever asks with an identity of Amazon's: the node's
// own, or an access key in a secret, and a role assumed with either. One password opens all registries of a region that the
// identity may read, so one is fetched for all of them, and each credential still names the one host that it was asked for.
//
// # How long a password is remembered
//
// Until half of its life, less some jitter, and no longer than the credentials that made it: a password may die with the
// session behind it, so a new session gets a new one. Errors are not remembered.
//
// A registry may refuse a password that is still remembered (a session revoked, a clock turned). Whoever says so
// (exchange.Request.Refused) gets a new one, which then is everybody's. If that one is refused as well, it is given again for
// half a minute: a registry that refuses everything does not use up what Amazon lets an account ask.
package ecr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/image"
)

// username is whose password it is, always.
const username = "AWS"

// An Exchanger makes logins for Amazon's registries.
type Exchanger struct {
	identity  *amazon.Identity
	passwords passwords
}

var (
	_ exchange.Exchanger = (*Exchanger)(nil)
	_ exchange.Creator   = (*Exchanger)(nil)
)

// New makes an Exchanger that asks in the identity's name where no secret has keys.
func New(identity *amazon.Identity) *Exchanger {
	return &Exchanger{identity: identity, passwords: passwords{entries: map[string]*entry{}}}
}

// Exchange implements exchange.Exchanger. The secret, where there is one, has an access key (keysOf says in which forms).
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (credential.Credential, error) {
	q, err := questionOf(r)
	if err != nil {
		return credential.Credential{}, err
	}
	p, err := e.password(ctx, q, r)
	if err != nil {
		return credential.Credential{}, forPeople(q, err)
	}
	return p.login(r.Host), nil
}

// A question is a request, understood.
type question struct {
	host   image.ECRHost
	place  amazon.Place
	source amazon.Source
}

// publicRegion is where ECR Public is asked, whose registries are in no region.
const publicRegion = "us-east-1"

func questionOf(r exchange.Request) (question, error) {
	host, ok := image.ParseECRHost(r.Host)
	if !ok || len(r.Hosts) > 0 && !slices.Contains(r.Hosts, r.Host) {
		text := r.Host + " is no registry of Amazon's"
		if ok {
			text = r.Host + " is another registry than this one is for"
		}
		if len(r.Hosts) > 0 {
			text += " (" + strings.Join(r.Hosts[:min(len(r.Hosts), 5)], ", ") + ")"
		}
		return question{}, &exchange.Error{Kind: exchange.ErrHostMismatch, Text: text + ": no login of Amazon's is sent there",
			Hint: "write the host as ECR shows it, as in 123456789012.dkr.ecr.eu-west-1.amazonaws.com; for a registry that is not Amazon's an organization admin chooses another type"}
	}
	q := question{host: host, place: amazon.Place{Region: host.Region, FIPS: host.FIPS, DualStack: host.DualStack}}
	if host.Public {
		q.place = amazon.Place{Region: publicRegion, DualStack: r.Host == "ecr-public.aws.com"}
	} else if !inPartition(host.Suffix, q.place.Partition()) {
		return question{}, &exchange.Error{Kind: exchange.ErrHostMismatch,
			Text: fmt.Sprintf("%s is no registry of Amazon's: region %s has no hosts under %s", r.Host, host.Region, host.Suffix),
			Hint: "write the host as ECR shows it (repositoryUri)"}
	}
	q.source = amazon.Source{Role: r.AssumeRole, ExternalID: r.ExternalID}
	switch {
	case r.Identity:
		return q, nil
	case r.Secret.Empty():
		return question{}, &exchange.Error{Kind: exchange.ErrContent, Text: "there is neither a secret nor the node's identity to make a login of",
			Hint: "an organization admin sets the registry's credential: identity: node, or a secret with an access key"}
	}
	var err error
	q.source.Keys, err = keysOf(r)
	return q, err
}

// inPartition tells whether hosts with the suffix are of the partition.
func inPartition(suffix, partition string) bool {
	return slices.Contains(map[string][]string{
		"amazonaws.com": {"aws", "aws-us-gov"}, "on.aws": {"aws", "aws-us-gov"},
		"amazonaws.com.cn": {"aws-cn"}, "on.amazonwebservices.com.cn": {"aws-cn"},
		"amazonaws.eu": {"aws-eusc"}, "c2s.ic.gov": {"aws-iso"}, "sc2s.sgov.gov": {"aws-iso-b"},
		"cloud.adc-e.uk": {"aws-iso-e"}, "csp.hci.ic.gov": {"aws-iso-f"},
	}[suffix], partition)
}

// CreateRepository implements exchange.Creator: the repository is made with Amazon's defaults, in the account and region of
// the host.
func (e *Exchanger) CreateRepository(ctx context.Context, r exchange.Request) error {
	q, err := questionOf(r)
	switch {
	case err != nil:
		return err
	case q.host.Public:
		return &exchange.Error{Kind: exchange.ErrRefused, Text: "repositories of ECR Public are not made on a push",
			Hint: "a cloud admin makes it: aws ecr-public create-repository --region us-east-1 --repository-name NAME"}
	case r.Repository == "":
		return &exchange.Error{Kind: exchange.ErrContent, Text: "which repository is to be made at " + r.Host + " is not known"}
	}
	_, err = amazon.Ask(ctx, e.identity, q.source, q.place, func(ctx context.Context, c aws.Config) (*ecr.CreateRepositoryOutput, error) {
		return ecr.NewFromConfig(c).CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String(r.Repository), RegistryId: aws.String(q.host.Account)})
	})
	var refused *amazon.Error
	if errors.As(err, &refused) && refused.Action == createAction {
		switch {
		case refused.Code == "RepositoryAlreadyExistsException":
			return nil
		case strings.HasPrefix(refused.Code, "AccessDenied"):
			refused.Hint = fmt.Sprintf("a cloud admin allows %s on %s to %s, or makes the repository", createAction, repositoryARN(q, r.Repository), e.holder(ctx, q))
		case refused.Code == "InvalidParameterException":
			refused.Hint = "a name in ECR has 2 to 256 lower-case letters, digits and . _ - / between them: change the image's name, or the registry's image_prefix"
		case refused.Code == "LimitExceededException":
			refused.Kind, refused.Hint = amazon.ErrRefused, "a cloud admin deletes repositories or has the account's quota raised"
		}
	}
	if err != nil {
		return forPeople(q, err)
	}
	return nil
}

const createAction = "ecr:CreateRepository"

func repositoryARN(q question, repository string) string {
	return fmt.Sprintf("arn:%s:ecr:%s:%s:repository/%s", q.place.Partition(), q.place.Region, q.host.Account, repository)
}

// holder is who was refused, for people.
func (e *Exchanger) holder(ctx context.Context, q question) string {
	if name := e.identity.Principal(ctx, q.source, q.place); name != "" {
		return name
	}
	return "the identity that asked"
}

// forPeople makes an exchange's error of the identity's.
func forPeople(q question, err error) error {
	var asked *amazon.Error
	if !errors.As(err, &asked) {
		return err // the context's own, or one that is for people already
	}
	told := &exchange.Error{Text: asked.Text, Hint: asked.Hint, Kind: exchange.ErrUnreachable}
	switch asked.Kind {
	case amazon.ErrNone:
		told.Kind = exchange.ErrNoIdentity
		told.Hint += "; or an organization admin gives the registry a secret with an access key"
	case amazon.ErrRefused:
		told.Kind = exchange.ErrRefused
	}
	if strings.HasPrefix(asked.Code, "AccessDenied") {
		switch {
		case asked.Action == "ecr:GetAuthorizationToken":
			told.Hint = `a cloud admin attaches AmazonEC2ContainerRegistryReadOnly to that role or user, or allows it ecr:GetAuthorizationToken on Resource "*"; a repository's policy cannot give that`
		case q.host.Public && asked.Action == "ecr-public:GetAuthorizationToken":
			told.Hint = `a cloud admin allows ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on Resource "*" to that role or user`
		}
	}
	return told
}
