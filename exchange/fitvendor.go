package exchange

import (
	"regexp"
	"strings"
)

func checkHub(_, username string, kind Kind) *Finding {
	switch {
	case strings.Contains(username, "@") && kind.Form == FormHubOrganization:
		return wrong("the user name in the secret is an e-mail address, and the password an organization's access token",
			"with a token that begins with dckr_oat_ the user name is the organization's name")
	case strings.Contains(username, "@"):
		return wrong("the user name in the secret is an e-mail address, which Docker Hub takes on its web site only",
			"use the Docker ID: the name before the slash in the account's own repositories")
	}
	return nil
}

func checkGitHub(_, _ string, kind Kind) *Finding {
	if kind.Form == FormGitHubFine {
		return wrong("the password in the secret is a fine-grained GitHub token (github_pat_), which ghcr.io does not take",
			"make a classic token (ghp_) with the scope read:packages, and authorize it for the organization where that has single sign-on")
	}
	return nil
}

func checkGitLab(_, username string, kind Kind) *Finding {
	if kind.Form == FormGitLabOther {
		return wrong("the password in the secret is a GitLab token of a runner, trigger, feed or agent, which opens no registry",
			"use a deploy token, or a personal, project or group access token, with the scope read_registry")
	}
	if username == "gitlab+deploy-token" || username == "gitlab+deploy-token-" {
		return wrong("the user name in the secret is a deploy token's without its number", "copy it as GitLab shows it beside the token: gitlab+deploy-token-N")
	}
	return nil
}

func checkQuay(_, username string, _ Kind) *Finding {
	for _, special := range []string{"$oauthtoken", "$token", "$app"} {
		if username == `\`+special || username == "$"+special {
			return escaped(special)
		}
	}
	if strings.HasSuffix(username, "+") || strings.HasPrefix(username, "+") {
		return wrong("the user name in the secret is one half of a robot's", "a robot's user name is ORGANIZATION+ROBOT, as quay.io shows it")
	}
	return nil
}

func checkNVIDIA(_, username string, kind Kind) *Finding {
	if username == "$oauthtoken" {
		return nil
	}
	return wrong("the user name for nvcr.io is always $oauthtoken, and the secret has another one",
		"leave the user name out of the secret, or write $oauthtoken as it stands here: "+inQuotes)
}

func checkIBM(_, username string, _ Kind) *Finding {
	if strings.HasPrefix(username, "iam") || username == "token" {
		return nil
	}
	return wrong("the user name in the secret is none that IBM's registries know", "with an API key it is iamapikey, with an access token iambearer, with a refresh token iamrefresh")
}

func checkOracle(_, username string, _ Kind) *Finding {
	if strings.Contains(strings.Trim(username, "/"), "/") {
		return nil
	}
	return wrong("the user name in the secret has no tenancy namespace before it", "write NAMESPACE/USER, and for users of an identity domain NAMESPACE/DOMAIN/USER; the password is an auth token, not the console's")
}

func checkScaleway(_, _ string, kind Kind) *Finding {
	if kind.Form == FormScalewayKey {
		return wrong("the password in the secret is a Scaleway access key, which is the half that is not secret", "use the secret key that belongs to it; the user name is nologin")
	}
	return nil
}

var digits = regexp.MustCompile(`^\d+$`)

func checkRedHat(_, username string, kind Kind) *Finding {
	if kind.Form == FormJWT && digits.MatchString(username) {
		return wrong("the user name in the secret is the number of a service account without its name", "write it whole, NUMBER|NAME: a shell takes what follows | for a command unless it stands in single quotes")
	}
	return nil
}

var harborLabel = regexp.MustCompile(`(^|[.-])harbor([.-]|$)`)

func checkHarbor(_, username string, _ Kind) *Finding {
	switch {
	case username == "robot$" || username == "robot$+":
		return wrong("the user name in the secret is the beginning of a Harbor robot's", robotHint)
	case strings.HasPrefix(username, "robot$$"):
		return escaped("robot$NAME")
	}
	return nil
}

const robotHint = "a robot's user name is robot$NAME, or robot$PROJECT+NAME, as Harbor shows it: " + inQuotes

func escaped(name string) *Finding {
	return wrong("the user name in the secret has the $ of "+name+" escaped, and the registry gets the escape too", "write it as "+name+": inside a secret a $ needs no escaping")
}

// strayDollar is about hosts of nobody known: a Harbor robot's name that lost what a shell took for a variable, or kept
// what was meant for the shell. "robot" alone may be a person's choice, so it takes more to be sure.
func strayDollar(host, username string, kind Kind) *Finding {
	const text = "the user name in the secret looks like a Harbor robot's that a shell has cut: what followed the $ is gone"
	rest, isRobot := strings.CutPrefix(username, "robot")
	switch {
	case !isRobot:
		return nil
	case strings.HasPrefix(rest, `\$`):
		return escaped("robot$NAME")
	case (rest == "" || rest[0] == '+') && kind.Form == FormHarbor && (rest != "" || harborLabel.MatchString(host)):
		return wrong(text, robotHint)
	case rest == "" && kind.Form == FormHarbor, strings.HasPrefix(rest, "+"):
		return dubious(text, robotHint)
	}
	return nil
}
