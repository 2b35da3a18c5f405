package broker

import (
	"errors"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/secret"
)

// hint says whose turn it is and what to do about a pull's error. What the room that found the error says comes first.
// d is the decision; zero when there is none.
func hint(q Question, d decision, err error) string {
	for _, told := range []string{pierhead.HintOf(err), exchange.HintOf(err), secret.HintOf(err), egress.HintOf(err)} {
		if told != "" {
			return told
		}
	}
	var way *egress.Error
	switch {
	case errors.Is(err, exchange.ErrHostMismatch):
		return mismatchHint(d)
	case client.Refused(err), errors.Is(err, exchange.ErrRefused):
		return renewHint(d)
	case errors.Is(err, secret.ErrUnreachable), errors.Is(err, exchange.ErrUnreachable):
		return "try again; if it stays so, the operator looks at the way from this node to where " + d.login() + " comes from"
	case errors.Is(err, egress.ErrRules):
		return settingsHint(q, d.way)
	case errors.As(err, &way):
		return wayHint(q, d.way, way)
	case errors.Is(err, oci.ErrManifestUnknown), errors.Is(err, oci.ErrNameUnknown):
		return "check the name and the tag" + elseHint(q, d, "; ")
	case errors.Is(err, oci.ErrUnauthorized), errors.Is(err, oci.ErrDenied):
		return elseHint(q, d, "")
	case errors.Is(err, oci.ErrTooManyRequests):
		return waitHint(err)
	case errors.Is(err, oci.ErrDigestInvalid):
		return "it was damaged at " + q.Reference.Host() + " or on its way: try again; if it stays so, push the image again"
	case errors.Is(err, oci.ErrUnavailable):
		return "try again; if it stays so, whoever runs " + q.Reference.Host() + " knows why"
	}
	return "see which credential is chosen, and why: pier explain " + q.Reference.Written()
}

// mismatchHint is about a login that is for other hosts.
func mismatchHint(d decision) string {
	if d.step == stepSecret {
		return "correct the server in the secret " + d.lender.Credential.Secret + ", or name another secret"
	}
	return "an organization admin corrects the hosts that the login is for, or the match patterns of registry " + d.lender.Name
}

// renewHint is about a login that was answered with no.
func renewHint(d decision) string {
	credential := d.lender.Credential
	switch {
	case d.step == stepIdentity, credential.Identity != "":
		return "whoever administers the cloud lets the node's identity read this repository; pier explain names whom to"
	case credential.Secret != "":
		return "if the login is out of date, put the new one into the secret " + credential.Secret + "; if not, it may not read this repository"
	case d.lender.Type == pierhead.RegistryHosted:
		return "the operator looks whether the server still knows this node and its token"
	}
	return "if the login is out of date, an organization admin types it in again: pier registry update " + d.lender.Name +
		" --username NAME --password-stdin; if not, it may not read this repository"
}

// elseHint is about answers by which a registry may mean that a login is missing or may not see the image.
func elseHint(q Question, d decision, join string) string {
	switch {
	case d.step == stepSecret || d.step == stepIdentity:
		return join + "a registry may also answer so when " + d.login() + " may not read this repository"
	case q.Personal:
		return join + "personal projects pull what is public; if the image is private, run it in a project of the organization that has its registry"
	case d.lender.ID == "":
		return join + "if the image is private, pier explain " + q.Reference.Written() + " tells why no registry serves it here, and an organization admin adds one: " + addRegistry(q, " ...")
	case !d.lender.HasCredential() && d.lender.Type != pierhead.RegistryHosted:
		return join + "registry " + d.lender.Name + " has no login; if the image is private, an organization admin gives it one: pier registry update " +
			d.lender.Name + " --username NAME --password-stdin"
	}
	return join + "a registry may also answer so when " + d.login() + " may not read this repository"
}

// needsSetting are the rules to which a registry's settings can make an exception.
var needsSetting = map[egress.Rule]bool{egress.RulePrivate: true, egress.RuleLoopback: true, egress.RuleScheme: true}

// wayHint is about a request that got no answer: refused by a rule, or by the network.
func wayHint(q Question, registry pierhead.Registry, e *egress.Error) string {
	host := q.Reference.Host()
	switch {
	case q.Personal && (needsSetting[e.Rule] || e.TLS == egress.TLSPlainServer || e.TLS == egress.TLSUnknownAuthority):
		return "personal projects reach public registries over https; run it in a project of the organization that has its registry"
	case e.Rule == egress.RulePrivate:
		return "if the registry is meant to be there, an organization admin lists its network (private_networks): " + setRegistry(q, registry, " --private-network CIDR")
	case e.Rule == egress.RuleLoopback && registry.ID == "":
		return "if a registry runs on this machine, an organization admin writes it out in a match pattern: " + addRegistry(q, "")
	case e.Rule == egress.RuleLoopback:
		return "a registry on this machine is named by its address or localhost, in the image and in the match pattern alike"
	case e.Rule == egress.RuleRealm && e.Realm == "":
		return "a login goes to no other host over plain HTTP; whoever runs " + host + " gives its token server TLS, and then an organization admin confirms it (realms)"
	case e.Rule == egress.RuleRealm:
		return "if this token server belongs to the registry, an organization admin confirms it (realms): " + setRegistry(q, registry, " --realm "+e.Realm)
	case e.Rule == egress.RuleScheme, e.TLS == egress.TLSPlainServer:
		return "if there is no TLS on purpose, an organization admin says so (plain_http): " + setRegistry(q, registry, " --plain-http")
	case e.TLS == egress.TLSUnknownAuthority:
		return "if its authority is your own, an organization admin adds the certificate (ca): " + setRegistry(q, registry, " --ca-file FILE")
	case errors.Is(e, egress.ErrRefused):
		return "a registry cannot be there; check the host in the image's name, or ask whoever runs " + host + " where it sends its clients"
	case errors.Is(e, egress.ErrTLS):
		return "whoever runs " + host + " looks at its certificate"
	}
	if errors.Is(e, egress.ErrBroken) || errors.Is(e, egress.ErrTimeout) {
		return "try again; if it stays so, " + host + " or the network on the way there ends connections too early"
	}
	return "check the host in the image's name, and whether this node reaches " + host
}

// waitHint says how long, where that was told.
func waitHint(err error) string {
	var answer *client.Error
	text := "wait a while"
	if errors.As(err, &answer) && answer.RetryAfter > 0 {
		text = "wait " + answer.RetryAfter.Round(time.Second).String() + ", as " + answer.Host + " asks"
	}
	if answer != nil && answer.Login {
		return text
	}
	return text + "; with a login the limit is mostly higher"
}

func addRegistry(q Question, more string) string {
	return "pier registry add NAME --match '" + q.Reference.Host() + "/*'" + more
}

// setRegistry is the command that changes the registry, or adds the one that is missing.
func setRegistry(q Question, registry pierhead.Registry, flag string) string {
	if registry.ID == "" {
		return addRegistry(q, flag)
	}
	return "pier registry update " + registry.Name + flag
}

// settingsHint is about rules that make no sense. Without a registry there are few: the host as it is written.
func settingsHint(q Question, registry pierhead.Registry) string {
	if registry.ID == "" {
		return "check the host in the image's name: " + q.Reference.Host() + "; if it is right, the operator of this node corrects its settings"
	}
	return "an organization admin corrects it: pier registry update " + registry.Name
}
