package agent

import (
	"context"
	"fmt"
	"path"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/identity/kube"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

// Accounts tells whose a service-account token is; *kube.Verifier does.
type Accounts interface {
	// Verify returns the account. Errors, with a hint: pierhead.ErrNotAllowed, pierhead.ErrUnreachable; the context's own.
	Verify(ctx context.Context, token string) (kube.Account, error)
}

// A KubeletDoor makes the broker's question of what a kubelet asks.
type KubeletDoor struct {
	Accounts Accounts     // nil: tokens are refused
	Projects KubeProjects // nil: no namespace stands for a project
}

// question is the broker's question, but for the organization, and the service account that it is asked for; the zero one
// where the kubelet sent no token. A token that is not right is an error, never a question without one: what was right for
// everybody is not necessarily what that pod should get. Errors are for people: pierhead.ErrBadInput,
// pierhead.ErrNotAllowed, pierhead.ErrUnreachable; and the context's own.
func (d KubeletDoor) question(ctx context.Context, ask doors.Ask) (broker.Question, kube.Account, error) {
	reference, err := image.ParseName(ask.Image)
	if err != nil {
		return broker.Question{}, kube.Account{}, &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err, Text: err.Error()}
	}
	q := broker.Question{Reference: reference, Door: doors.Kubelet}
	if ask.ServiceAccountToken == "" {
		return q, kube.Account{}, nil
	}
	if d.Accounts == nil {
		return q, kube.Account{}, pierhead.NewProblem(pierhead.ErrNotAllowed, "the kubelet sends service-account tokens, and this agent does not know whose to trust",
			"the operator starts the agent with --kube-issuer, or takes tokenAttributes out of the kubelet's CredentialProviderConfig")
	}
	account, err := d.Accounts.Verify(ctx, ask.ServiceAccountToken)
	if err != nil {
		return q, kube.Account{}, err
	}
	q.Project = d.Projects.Of(account)
	return q, account, nil
}

// lendKubelet answers the kubelet's plugin, which knows an image without its tag.
func (a *Agent) lendKubelet(ctx context.Context, ask doors.Ask) (doors.Loan, *refusal) {
	q, account, err := a.Kubelet.question(ctx, ask)
	caller := a.doorCaller()
	if account != (kube.Account{}) {
		caller.Name += " for service account " + account.String()
	}
	var loan broker.Loan
	if err == nil {
		loan, err = a.lend(ctx, caller, q)
	}
	if err == nil {
		return loanOf(loan), nil
	}
	r, _ := a.notLent(doors.Kubelet, shown(ask.Image), err, pierhead.ErrNotFound)
	return doors.Loan{}, r
}

// KubeProjects says for which project of the organization a service account's pods pull: the first rule that its
// namespace and name match.
//
// An agent knows projects as registries' lists name them. A name that no list has stands for a project that sees what is
// open to all of them, exactly as a question without a project does: so it need not be known whether there is one of that
// name. What has to be known is who may make namespaces in the cluster: whoever may, chooses the project.
type KubeProjects []kubeRule

type kubeRule struct {
	namespace, account string // patterns of whole names
	project            string // a name; "*": the namespace's; "": none
}

// DefaultKubeProjects lets each namespace pull for the project of its own name.
const DefaultKubeProjects = "*=*"

// ParseKubeProjects reads rules "namespace[/serviceaccount]=project". A * in the first two stands for any characters; a
// project * is the one of the namespace's own name, and - is none. Errors: pierhead.ErrBadInput, with a hint.
func ParseKubeProjects(texts []string) (KubeProjects, error) {
	var rules KubeProjects
	for _, text := range texts {
		from, project, ok := strings.Cut(text, "=")
		namespace, account, named := strings.Cut(from, "/")
		if !named {
			account = "*"
		}
		if !ok || !isKubePattern(namespace) || !isKubePattern(account) || project != "*" && project != "-" && !pierhead.IsName(project) {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%q says of no namespace for which project it is", text),
				`write NAMESPACE=PROJECT or NAMESPACE/SERVICEACCOUNT=PROJECT, with * for any characters of a name; a project * is the one of the namespace's own name, and - is none`)
		}
		if project == "-" {
			project = ""
		}
		rules = append(rules, kubeRule{namespace, account, project})
	}
	return rules, nil
}

// isKubePattern allows the characters of Kubernetes' names, and *: path.Match knows other characters of its own.
func isKubePattern(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789.-*") == ""
}

// Of is the project's name, or "" where no rule gives one.
func (p KubeProjects) Of(account kube.Account) string {
	for _, rule := range p {
		if !kubeMatch(rule.namespace, account.Namespace) || !kubeMatch(rule.account, account.Name) {
			continue
		}
		if rule.project == "*" {
			return account.Namespace
		}
		return rule.project
	}
	return ""
}

func kubeMatch(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
