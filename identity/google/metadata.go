package google

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"pierhead.dev/pierhead/secret"
)

// metadataHost is where the library looks for the metadata server.
func metadataHost() string {
	if host := os.Getenv("GCE_METADATA_HOST"); host != "" {
		return host
	}
	return "169.254.169.254"
}

const nobodyHint = "on Google's machines, attach a service account (GKE: Workload Identity); elsewhere name a key or an external_account file with GOOGLE_APPLICATION_CREDENTIALS, or give the registry a secret"

// fromMetadata asks the machine's metadata server who this is, and for its token. The server may hand out what it has kept,
// nearly ended: then it is asked again, and the longest life that came back counts.
func (n *Node) fromMetadata(ctx context.Context) (Token, error) {
	client := metadata.NewWithOptions(&metadata.Options{Client: n.client.metadata, Logger: silent()})
	email, err := n.email(ctx, client)
	if err != nil {
		return Token{}, err
	}
	r := request{what: "this machine's service account " + email, host: metadataHost(), principal: email, hint: machineHint}
	best := Token{}
	for try := 1; ; try++ {
		token, err := machineToken(ctx, client, r)
		if err != nil && best.Value.Empty() {
			return Token{}, err
		}
		if err == nil && token.Expires.After(best.Expires) {
			best = token
		}
		if err != nil || time.Until(best.Expires) > little || try == 3 || !wait(ctx, time.Second+rand.N(time.Second/2)) {
			return best, nil
		}
	}
}

// email names the machine's service account. The first time it is also how a machine that is not Google's is found out.
func (n *Node) email(ctx context.Context, client *metadata.Client) (string, error) {
	n.mu.Lock()
	first := !n.here
	n.mu.Unlock()
	if first {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, detection)
		defer cancel()
	}
	email, err := client.EmailWithContext(ctx, "default")
	var answer *Answer
	answered := err == nil || errors.As(err, &answer)
	if answered {
		n.mu.Lock()
		n.here = true
		n.mu.Unlock()
	}
	switch {
	case err == nil && isPrincipal(email):
		return email, nil
	case answer != nil && answer.Status == 404:
		return "", &Error{Kind: ErrNoIdentity, Text: "this machine has no service account: its metadata server at " + metadataHost() + " knows of none", Hint: nobodyHint}
	case first && !answered:
		return "", &Error{Kind: ErrNoIdentity, Text: "this node has no identity at Google: GOOGLE_APPLICATION_CREDENTIALS is not set, and no metadata server of Google's answers at " + metadataHost(), Hint: nobodyHint}
	case err == nil:
		err = errNoToken
	}
	return "", explain(ctx, request{what: "this machine's service account", host: metadataHost(), hint: machineHint}, err)
}

// isPrincipal accepts a service account, and what GKE names a workload's without one (PROJECT.svc.id.goog).
func isPrincipal(text string) bool {
	return IsServiceAccount(text) || len(text) < 128 && strings.HasSuffix(text, ".svc.id.goog") && IsServiceAccount("x@"+strings.TrimSuffix(text, "svc.id.goog")+"gserviceaccount.com")
}

func machineToken(ctx context.Context, client *metadata.Client, r request) (Token, error) {
	text, err := client.GetWithContext(ctx, "instance/service-accounts/default/token")
	if err != nil {
		return Token{}, explain(ctx, r, err)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if json.Unmarshal([]byte(text), &answer) != nil || answer.Token == "" || answer.Seconds > 1e6 {
		return Token{}, explain(ctx, r, errNoToken)
	}
	if answer.Seconds <= 0 {
		return Token{}, explain(ctx, r, errEnded)
	}
	return Token{Value: secret.NewValue([]byte(answer.Token)), Expires: time.Now().Add(time.Duration(answer.Seconds) * time.Second), Principal: r.principal}, nil
}

func machineHint(a *Answer) string {
	if contains(a.Message, "getaccesstoken", "permission") {
		return "GKE: let the Kubernetes service account stand in for the Google one (roles/iam.workloadIdentityUser)"
	}
	return "look at the machine's service account, whether it is there and switched on"
}
