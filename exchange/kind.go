package exchange

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// A Form is what a password is by its look alone. Vendors mark their tokens so that scanners find leaked ones; the same
// marks say which vendor a token is no use at.
type Form string

// The forms. FormUnknown is a password, or a token whose look says nothing.
const (
	FormUnknown         Form = ""
	FormGitHub          Form = "a GitHub token"                            // ghp_, gho_, ghu_, ghs_
	FormGitHubFine      Form = "a fine-grained GitHub token"               // github_pat_
	FormHub             Form = "a Docker Hub access token"                 // dckr_pat_
	FormHubOrganization Form = "a Docker Hub organization's access token"  // dckr_oat_
	FormGitLab          Form = "a GitLab token"                            // glpat-, gldt-, glcbt-
	FormGitLabOther     Form = "a GitLab token that is not for registries" // runners', triggers', feeds', agents'
	FormNGC             Form = "an NGC API key"                            // nvapi-
	FormDigitalOcean    Form = "a DigitalOcean token"                      // dop_v1_, doo_v1_
	FormGoogle          Form = "a Google access token"                     // ya29.
	FormServiceAccount  Form = "a Google service account's key file"       // its JSON
	FormJFrogReference  Form = "a JFrog reference token"                   // base64 of "reftkn:"
	FormScalewayKey     Form = "a Scaleway access key"                     // SCW…, the half that is not secret
	FormAWSSecret       Form = "an AWS secret access key"                  // 40 characters; so are other things, so it counts beside an access key's id only
	FormHarbor          Form = "a Harbor robot's secret"                   // 32 letters and digits of all three sorts; so are other things
	FormJWT             Form = "a signed token (JWT)"
)

// A Kind is what is known of a password without asking anybody. It holds no part of it.
type Kind struct {
	Form  Form
	Ended time.Time // when the token says that it ended; zero where it says nothing, or has not yet
	// Subject is the "sub" of a signed token, as it says itself, and "" where it has none.
	Subject string
}

// marks are the beginnings that vendors give their tokens (GitHub, GitLab and Docker publish them for secret scanners).
var marks = []struct {
	prefix string
	form   Form
}{
	{"github_pat_", FormGitHubFine},
	{"ghp_", FormGitHub}, {"gho_", FormGitHub}, {"ghu_", FormGitHub}, {"ghs_", FormGitHub},
	{"dckr_pat_", FormHub}, {"dckr_oat_", FormHubOrganization},
	{"glpat-", FormGitLab}, {"gldt-", FormGitLab}, {"glcbt-", FormGitLab},
	{"glrt-", FormGitLabOther}, {"glptt-", FormGitLabOther}, {"glft-", FormGitLabOther}, {"glimt-", FormGitLabOther}, {"glagent-", FormGitLabOther},
	{"nvapi-", FormNGC},
	{"dop_v1_", FormDigitalOcean}, {"doo_v1_", FormDigitalOcean},
	{"ya29.", FormGoogle},
	{"cmVmdGtuOj", FormJFrogReference},
}

var (
	// tokenRest is what follows a mark: long enough that no password of a person's begins so by chance.
	tokenRest   = regexp.MustCompile(`^[A-Za-z0-9._=-]{12,}$`)
	awsSecret   = regexp.MustCompile(`^[A-Za-z0-9/+]{40}$`)
	awsKeyID    = regexp.MustCompile(`^(AKIA|ASIA)[A-Z2-7]{16}$`)
	harborRobot = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)
	scalewayKey = regexp.MustCompile(`^SCW[A-Z0-9]{17}$`)
)

// KindOf tells what a password is by its look. A signed token's date and subject are read as they stand there: nothing is
// verified, since nobody is let in by them.
func KindOf(password string, now time.Time) Kind {
	for _, m := range marks {
		if rest, ok := strings.CutPrefix(password, m.prefix); ok && tokenRest.MatchString(rest) {
			return Kind{Form: m.form}
		}
	}
	switch {
	case isServiceAccount(password):
		return Kind{Form: FormServiceAccount}
	case strings.HasPrefix(password, "eyJ"):
		return signedKind(password, now)
	case scalewayKey.MatchString(password):
		return Kind{Form: FormScalewayKey}
	case awsSecret.MatchString(password):
		return Kind{Form: FormAWSSecret}
	case harborRobot.MatchString(password) && mixed(password):
		return Kind{Form: FormHarbor}
	}
	return Kind{}
}

// mixed tells whether a text has letters of both cases and digits, as generated ones have.
func mixed(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return 'a' <= r && r <= 'z' }) &&
		strings.ContainsFunc(text, func(r rune) bool { return 'A' <= r && r <= 'Z' }) && strings.ContainsAny(text, "0123456789")
}

func isServiceAccount(text string) bool {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return false
	}
	var key struct {
		Type       string `json:"type"`
		PrivateKey string `json:"private_key"`
	}
	return json.Unmarshal([]byte(text), &key) == nil && (key.Type == "service_account" || key.PrivateKey != "")
}

// skew is how far two clocks may be apart before a token counts as ended.
const skew = 5 * time.Minute

func signedKind(token string, now time.Time) Kind {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Kind{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Kind{}
	}
	var claims struct {
		Expires *float64 `json:"exp"`
		Subject string   `json:"sub"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return Kind{}
	}
	kind := Kind{Form: FormJWT, Subject: claims.Subject}
	// Dates beyond the year 9999 are somebody's "never".
	if e := claims.Expires; e != nil && *e > 0 && *e < 253402300800 {
		if ended := time.Unix(int64(*e), 0).UTC(); ended.Add(skew).Before(now) {
			kind.Ended = ended
		}
	}
	return kind
}
