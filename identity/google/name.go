package google

import (
	"regexp"
	"strings"
)

// serviceAccount is an e-mail of a service account, of every sort: NAME@PROJECT.iam.gserviceaccount.com (a project of a
// domain has two labels), NUMBER-compute@developer.gserviceaccount.com, PROJECT@appspot.gserviceaccount.com.
var serviceAccount = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,98}[a-z0-9])?@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,6}gserviceaccount\.com$`)

// IsServiceAccount tells whether text is the e-mail of a service account: then it is safe to print, and to put into a URL.
func IsServiceAccount(text string) bool { return len(text) <= 254 && serviceAccount.MatchString(text) }

// impersonation is the address at which a file says whom it stands in for.
var impersonation = regexp.MustCompile(`^https://iamcredentials\.googleapis\.com/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken$`)

// ImpersonationTarget reads the service account's e-mail out of the one address at which Google makes tokens for it;
// anything else is false.
func ImpersonationTarget(url string) (string, bool) {
	parts := impersonation.FindStringSubmatch(url)
	if parts == nil || !IsServiceAccount(parts[1]) {
		return "", false
	}
	return parts[1], true
}

// audience is the name of a pool's provider.
var audience = regexp.MustCompile(`^//iam\.googleapis\.com/((?:projects/[0-9]{1,20}/locations/global/workloadIdentityPools|locations/global/workforcePools)/[a-z0-9-]{1,64})/providers/[A-Za-z0-9_-]{1,64}$`)

// IsAudience tells whether text names a provider of a workload identity pool or workforce pool.
func IsAudience(text string) bool { return audience.MatchString(text) }

// PoolOf names all workloads of the pool of an audience, as IAM policies write it; "a federated workload" where the text is
// no audience.
func PoolOf(text string) string {
	parts := audience.FindStringSubmatch(text)
	if parts == nil {
		return "a federated workload"
	}
	return "principalSet://iam.googleapis.com/" + strings.TrimSuffix(parts[1], "/") + "/*"
}
