// Package awssm is the secret source of AWS Secrets Manager: a reference is the secret's ARN, whole or without the six
// characters that the service puts at its end.
//
//	arn:aws:secretsmanager:eu-west-1:123456789012:secret:registry/jfrog-AbCdEf
//
// Region and partition come from the ARN, never from the process; it is read with the node's own identity, and sent to
// nobody but Amazon. Nothing is kept: a rotated secret is seen at the next Get.
package awssm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/secret"
)

// Scheme is the scheme of references that this source serves.
const Scheme = "arn"

// The stages of a secret's versions: what it holds now, and what it held before its last rotation.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

// A Source reads secrets in the node's name.
type Source struct{ identity *amazon.Identity }

var (
	_ secret.Source  = (*Source)(nil)
	_ secret.Rotated = (*Source)(nil)
)

// New makes a Source; it asks nobody yet.
func New(identity *amazon.Identity) *Source { return &Source{identity} }

// Get implements secret.Source: the version AWSCURRENT.
func (s *Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	return s.version(ctx, ref, current)
}

// Previous implements secret.Rotated: the version AWSPREVIOUS.
func (s *Source) Previous(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	return s.version(ctx, ref, previous)
}

// An arn is the ARN of a secret, in its parts.
type arn struct{ partition, region, account, name string }

// String is the text that parse reads.
func (a arn) String() string {
	return fmt.Sprintf("arn:%s:secretsmanager:%s:%s:secret:%s", a.partition, a.region, a.account, a.name)
}

// arnName is what follows "arn:". A secret's name has up to 512 characters, and seven more at its end.
var arnName = regexp.MustCompile(`^(aws[a-z-]*):secretsmanager:([a-z]{2,8}(?:-[a-z]+)*-\d{1,2}):(\d{12}):secret:([A-Za-z0-9/_+=.@-]+)$`)

// parse reads a reference.
func parse(ref secret.Ref) (arn, error) {
	parts := arnName.FindStringSubmatch(ref.Name())
	if ref.Scheme() != Scheme || parts == nil || len(parts[4]) > 512+7 {
		return arn{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: "not the ARN of a secret in AWS Secrets Manager",
			Hint: "write it as the console shows it: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf"}
	}
	a := arn{partition: parts[1], region: parts[2], account: parts[3], name: parts[4]}
	if in := (amazon.Place{Region: a.region}).Partition(); in != a.partition {
		return arn{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: fmt.Sprintf("region %s is in partition %s and not in %s", a.region, in, a.partition),
			Hint: "copy the ARN once more from where the secret is"}
	}
	return a, nil
}

func (s *Source) version(ctx context.Context, ref secret.Ref, stage string) (secret.Value, error) {
	a, err := parse(ref)
	if err != nil {
		return secret.Value{}, err
	}
	if err := ctx.Err(); err != nil {
		return secret.Value{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	place := amazon.Place{Region: a.region}
	content, err := amazon.Ask(ctx, s.identity, amazon.Source{}, place, func(ctx context.Context, c aws.Config) ([]byte, error) {
		out, err := secretsmanager.NewFromConfig(c).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(a.String()), VersionStage: aws.String(stage)})
		switch {
		case err != nil:
			return nil, err
		case out.SecretString != nil:
			return []byte(*out.SecretString), nil
		}
		return out.SecretBinary, nil
	})
	switch {
	case err != nil:
		return secret.Value{}, explain(ref, a, stage, err)
	case len(content) == 0:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "the secret is empty"}
	case len(content) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: fmt.Sprintf("the secret is longer than %d KiB", secret.MaxContent>>10)}
	}
	return secret.NewValue(content), nil
}

// suffixed are names that look as if the service's six characters were there.
var suffixed = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

// explain makes a secret's error of the identity's.
func explain(ref secret.Ref, a arn, stage string, err error) error {
	var asked *amazon.Error
	if !errors.As(err, &asked) {
		return fmt.Errorf("secret %s: %w", ref, err)
	}
	e := &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: asked.Text, Hint: asked.Hint}
	if asked.Kind != amazon.ErrUnreachable {
		e.Kind = secret.ErrNotAllowed
	}
	switch code := asked.Code; {
	case asked.Action != "secretsmanager:GetSecretValue":
	case code == "ResourceNotFoundException" && stage == previous:
		e.Kind, e.Text, e.Hint = secret.ErrNotFound, "it has no version before the current one (AWSPREVIOUS)", ""
	case code == "ResourceNotFoundException":
		e.Kind, e.Hint = secret.ErrNotFound, "check name, region and account in the ARN"
		if !suffixed.MatchString(a.name) {
			e.Hint += "; with the six characters at its end it is found for certain"
		} else {
			e.Hint += "; a name that itself ends in a hyphen and six characters is found by its whole ARN only"
		}
	case code == "InvalidRequestException":
		e.Kind, e.Hint = secret.ErrNotFound, "if it is marked for deletion, whoever owns it brings it back (aws secretsmanager restore-secret), or an organization admin names another"
	case code == "InvalidParameterException":
		e.Kind, e.Hint = secret.ErrRef, "copy the ARN once more from where the secret is"
	case code == "DecryptionFailure", strings.HasPrefix(code, "AccessDenied") && strings.Contains(asked.Text, "KMS"):
		e.Hint = "a cloud admin lets the node's role use the secret's KMS key (kms:Decrypt, in the key's policy too where it is of account " + a.account + " and the node is not), and looks whether the key is enabled; Amazon's own key aws/secretsmanager serves its own account only"
	case strings.HasPrefix(code, "AccessDenied"):
		e.Hint = "a cloud admin allows secretsmanager:GetSecretValue on " + a.String() + " to the node's role; where that is not of account " + a.account +
			", the secret's resource policy must name it as well, and its KMS key must not be aws/secretsmanager but one of your own that allows it kms:Decrypt"
	}
	return e
}
