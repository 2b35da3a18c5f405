package google

import (
	"fmt"
	"strings"
	"time"
)

// largeSkew is how far a clock may be off before it is named as a cause: Google allows some minutes.
const largeSkew = 2 * time.Minute

func contains(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// clock says what to do about this machine's clock.
func clock(a *Answer) string {
	switch {
	case a.Skew > largeSkew:
		return fmt.Sprintf("the node's clock is %v ahead of Google's: set it (NTP)", a.Skew)
	case a.Skew < -largeSkew:
		return fmt.Sprintf("the node's clock is %v behind Google's: set it (NTP)", -a.Skew)
	}
	return "the node's clock may be off: compare it (NTP)"
}

const newKey = "make a new one (gcloud iam service-accounts keys create) and put it in its place"

// keyHint reads the answers to an assertion. Google says the same for a key that was deleted, one that has expired by
// policy, and one of another account.
func keyHint(a *Answer) string {
	switch {
	case contains(a.Message, "reasonable timeframe", "iat and exp", "token used too"):
		return clock(a)
	case contains(a.Message, "account not found"):
		return "that service account is gone: ask your cloud's IAM admin for another, with a key"
	case contains(a.Message, "disabled"):
		return "the service account or its key is switched off: gcloud iam service-accounts enable, or " + newKey
	case contains(a.Message, "signature", "invalid_grant") || a.Code == "invalid_grant":
		if a.Skew > largeSkew || a.Skew < -largeSkew {
			return clock(a)
		}
		return "the key was deleted, has expired, or is of another account: " + newKey
	}
	return "let your cloud's IAM admin look at that service account and its key"
}

// stsHint reads the answers to a federated token.
func stsHint(a *Answer) string {
	switch {
	case a.Code == "invalid_target":
		return "there is no such workload identity pool and provider, or it is switched off: compare audience with the provider's name"
	case contains(a.Message, "audience"):
		return "the token was made for another audience than the pool's provider takes: compare the provider's allowed audiences with the token's aud"
	case contains(a.Message, "stale", "expired", "issued at", "in the future"):
		return "the token has ended, or is not good yet: whoever writes its file must renew it; " + clock(a)
	case contains(a.Message, "attribute condition") || a.Code == "unauthorized_client":
		return "the provider's attribute condition does not let this workload in: ask your cloud's IAM admin"
	case contains(a.Message, "issuer"):
		return "the pool's provider has another issuer than the token, or cannot reach it: compare the provider's issuer with the token's iss"
	}
	return "let your cloud's IAM admin look at the workload identity pool's provider: issuer, audience, attribute condition"
}

// impersonateHint reads the answers to a request for another account's token.
func impersonateHint(a *Answer, source, target string) string {
	switch {
	case a.Reason == "SERVICE_DISABLED" || contains(a.Message, "has not been used in project"):
		return "switch the API on in the project: gcloud services enable iamcredentials.googleapis.com"
	case a.Reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		return "the machine's access scopes have no cloud-platform in them: set them (gcloud compute instances set-service-account --scopes=cloud-platform)"
	case contains(a.Message, "lifetime"):
		return "an hour is the longest, or what the organization policy constraints/iam.allowServiceAccountCredentialLifetimeExtension allows to " + target
	case a.Status == 403:
		return fmt.Sprintf("let %s stand in for it (permission iam.serviceAccounts.getAccessToken): gcloud iam service-accounts add-iam-policy-binding %s --member=%s --role=roles/iam.serviceAccountTokenCreator; it takes some minutes to count",
			source, target, Member(source))
	case a.Status == 404:
		return "there is no service account " + target + ": correct its name"
	case contains(a.Message, "disabled"):
		return "the service account is switched off: gcloud iam service-accounts enable " + target
	}
	return "let your cloud's IAM admin look at the service account " + target
}

// Member is a principal as IAM policies write it, or a word in its place where its name is not known.
func Member(principal string) string {
	switch {
	case strings.Contains(principal, "://"):
		return principal
	case IsServiceAccount(principal):
		return "serviceAccount:" + principal
	}
	return "MEMBER"
}
