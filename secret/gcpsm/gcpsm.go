// Package gcpsm is the secret source of Google Secret Manager: "gcpsm:projects/PROJECT/secrets/SECRET" is the newest version
// of a secret that Google replicates, "gcpsm:projects/PROJECT/locations/LOCATION/secrets/SECRET" of one that is kept in a
// region; "/versions/VERSION" behind either names one version.
//
// The node reads it with its own identity (identity/google), which needs the role Secret Manager Secret Accessor
// (roles/secretmanager.secretAccessor) on the secret and nothing else. Its token goes to secretmanager.googleapis.com and
// secretmanager.LOCATION.rep.googleapis.com only. Nothing is kept: a rotated secret is seen at the next Get.
package gcpsm

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"regexp"
	"strconv"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/secret"
)

// whole bounds one Get, with the token that it needs.
const whole = 45 * time.Second

// A Source reads secrets with a node's identity.
type Source struct{ node *google.Node }

// New makes a Source; nothing is asked of anybody yet.
func New(node *google.Node) *Source { return &Source{node: node} }

var (
	_ secret.Source  = (*Source)(nil)
	_ secret.Rotated = (*Source)(nil)
)

// Get reads the version that ref names, by default the newest. Errors: secret.ErrRef; ErrNotFound when there is no such
// secret or version; ErrNotAllowed when the node has no identity at Google, its principal may not read the secret, or the
// version is disabled or destroyed; ErrUnreachable when Google does not answer, is throttling, or what came is damaged;
// ErrContent when it is empty or too long; ctx's own when it ended.
func (s *Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	n, err := parse(ref)
	if err != nil {
		return secret.Value{}, err
	}
	version := n.version
	if version == "" {
		version = latest
	}
	value, _, err := s.access(ctx, ref, n, version)
	return value, err
}

// back is how many versions before the newest are looked at: one may be disabled, many mean that nothing older is meant to be
// used any more.
const back = 3

// Previous reads the newest version before the latest that is enabled, of the three before it, with the right that Get needs and no
// other. A reference to one version, or to an alias, has no previous one. Errors: as for Get; secret.ErrNotFound where there is
// none.
func (s *Source) Previous(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	n, err := parse(ref)
	if err != nil {
		return secret.Value{}, err
	}
	none := &secret.Error{Kind: secret.ErrNotFound, Ref: ref, Text: "there is no earlier version that is enabled", Hint: "only the latest version is followed; before it there was none, or it is switched off"}
	if !n.followed() {
		return secret.Value{}, none
	}
	_, number, err := s.access(ctx, ref, n, latest)
	if err != nil {
		return secret.Value{}, err
	}
	for earlier := number - 1; earlier >= max(1, number-back); earlier-- {
		value, _, err := s.access(ctx, ref, n, strconv.FormatInt(earlier, 10))
		var answer *google.Answer
		if err == nil || !errors.As(err, &answer) || answer.Status != 400 && answer.Status != 404 {
			return value, err
		}
	}
	return secret.Value{}, none
}

// numbered is how an answer names what it is.
var numbered = regexp.MustCompile(`/versions/([1-9][0-9]{0,17})$`)

// access asks for one version and tells its number.
func (s *Source) access(ctx context.Context, ref secret.Ref, n name, version string) (secret.Value, int64, error) {
	if err := ctx.Err(); err != nil {
		return secret.Value{}, 0, fmt.Errorf("secret %s: %w", ref, err)
	}
	bounded, cancel := context.WithTimeout(ctx, whole)
	defer cancel()
	// The token first: what is wrong with it is told in its own words.
	token, err := s.node.Token(bounded)
	if err != nil {
		return secret.Value{}, 0, explain(ctx, ref, n, "", err)
	}
	answer, err := s.ask(bounded, n, version)
	if err != nil {
		return secret.Value{}, 0, explain(ctx, ref, n, token.Principal, err)
	}
	payload := answer.GetPayload()
	parts := numbered.FindStringSubmatch(answer.GetName())
	switch {
	case payload == nil || parts == nil:
		return secret.Value{}, 0, explain(ctx, ref, n, token.Principal, errGarbled)
	case payload.DataCrc32C == nil || int64(crc32.Checksum(payload.GetData(), crc32.MakeTable(crc32.Castagnoli))) != payload.GetDataCrc32C():
		return secret.Value{}, 0, explain(ctx, ref, n, token.Principal, errDamaged)
	case len(payload.GetData()) == 0:
		return secret.Value{}, 0, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "the secret is empty", Hint: "add a version with the login in it"}
	case len(payload.GetData()) > secret.MaxContent:
		return secret.Value{}, 0, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: fmt.Sprintf("the secret is longer than %d KiB", secret.MaxContent>>10), Hint: "keep the login in it and nothing else"}
	}
	number, err := strconv.ParseInt(parts[1], 10, 64)
	return secret.NewValue(payload.GetData()), number, err
}

// ask is Google's own client over ours, which adds the token, bounds the request and tries again: the library's way of doing
// so has no bound.
func (s *Source) ask(ctx context.Context, n name, version string) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	client, err := secretmanager.NewRESTClient(ctx, option.WithHTTPClient(s.node.HTTPClient(n.host())), option.WithEndpoint("https://"+n.host()),
		option.WithLogger(slog.New(slog.DiscardHandler))) // at debug level it would log the secret
	if err != nil {
		return nil, err
	}
	defer client.Close()
	once := gax.WithRetry(func() gax.Retryer { return nil })
	return client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: n.at(version)}, once)
}
