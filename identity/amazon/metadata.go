package amazon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// metadataWithin bounds one question to the instance's metadata service, metadataTry one try of it. It answers within
// milliseconds where there is one.
const (
	metadataWithin = 2 * time.Second
	metadataTry    = 1200 * time.Millisecond
)

// metadataService is the SDK's client of IMDS as the operator's configuration has it (end-point, IPv6, switched off), but
// without falling back to IMDSv1: what answers without a session token is not asked.
func metadataService(c aws.Config, client aws.HTTPClient) *imds.Client {
	return imds.NewFromConfig(c, func(o *imds.Options) {
		o.HTTPClient, o.EnableFallback, o.DisableDefaultMaxBackoff = client, aws.FalseTernary, true
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, 200*time.Millisecond })
	})
}

// instanceRole asks IMDS for the role of the instance and says in people's words why there is none.
type instanceRole struct{ client *imds.Client }

// GetMetadata implements ec2rolecreds.GetMetadataAPIClient.
func (r *instanceRole) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, options ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	within, cancel := context.WithTimeout(ctx, metadataWithin)
	defer cancel()
	seen := &outcome{}
	out, err := r.client.GetMetadata(context.WithValue(within, outcomeKey{}, seen), in, options...)
	if err == nil || ctx.Err() != nil {
		return out, err
	}
	return nil, noInstanceRole(seen)
}

// An outcome is how the last request to the metadata service went. The SDK's error does not say it: what is wrong with
// a session token comes without its cause.
type outcome struct {
	sent, connected bool
	method, status  string
	code            int
}

type outcomeKey struct{}

// noting writes outcomes down.
type noting struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := n.next.RoundTrip(r)
	if seen, ok := r.Context().Value(outcomeKey{}).(*outcome); ok {
		var op *net.OpError
		*seen = outcome{sent: true, method: r.Method, connected: !(errors.As(err, &op) && op.Op == "dial")}
		if err == nil {
			seen.status, seen.code = response.Status, response.StatusCode
		}
	}
	return response, err
}

const noneHint = "the platform admin gives this node an identity (an instance profile, IRSA, EKS Pod Identity, an ECS task role, or AWS_… in the agent's environment)"

func noInstanceRole(seen *outcome) error {
	const nothing = "no credentials for Amazon are configured on this node, and "
	none := func(text, hint string) error {
		return &Error{Kind: ErrNone, Text: nothing + text, Hint: hint}
	}
	switch {
	case !seen.sent:
		return none("its metadata service is switched off (AWS_EC2_METADATA_DISABLED)", noneHint)
	case !seen.connected:
		return none("no metadata service of EC2 is reached", noneHint)
	case seen.code == 0:
		// Connected, and then nothing: the answers of a metadata service do not pass more hops than the instance allows.
		return none("its metadata service does not answer the request for a session token (IMDSv2)",
			"if the agent runs in a container on EC2, the platform admin of the node raises the instance's hop limit (aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2), or runs it in the host's network")
	case seen.code == http.StatusTooManyRequests || seen.code >= 500:
		return &Error{Kind: ErrUnreachable, Text: "the node's metadata service does not work now: it answers " + clean(seen.status, 60),
			Hint: "try again; if it stays so, the platform admin of the node looks at it"}
	case seen.method == http.MethodPut:
		return none("what answers at its metadata address gives no session token (IMDSv2): "+clean(seen.status, 60),
			"if this is EC2, the platform admin of the node switches the metadata service on (aws ec2 modify-instance-metadata-options --http-endpoint enabled --http-tokens required); if not, "+noneHint)
	case seen.code == http.StatusOK:
		return &Error{Kind: ErrUnreachable, Text: "the node's metadata service does not work now: its answer is too long, or broke off", Hint: "the platform admin of the node looks what answers at its metadata address"}
	case seen.code == http.StatusNotFound:
		return none("the instance has no role", "a cloud admin attaches an instance profile to it, with a role that may do this")
	}
	return none("its metadata service does not give the instance's role: "+clean(seen.status, 60), noneHint)
}
