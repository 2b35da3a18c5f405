package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"pierhead.dev/pierhead/egress"
)

// What an Identity can answer, found with errors.Is.
var (
	ErrNoIdentity  = errors.New("the node has no identity in Azure")
	ErrRefused     = errors.New("the identity was refused by Entra")
	ErrUnreachable = errors.New("no answer from Entra")
	ErrNoHost      = fmt.Errorf("%w: no such host", ErrUnreachable) // which is an ErrUnreachable as well
)

// An Error is why there is no token, for people. It never contains a part of a secret.
type Error struct {
	Kind error  // one of the errors above
	Text string // one sentence, without a trailing full stop
	Hint string // whose turn it is, and what to do
}

// Error is the sentence; faces print Hint on a line of its own.
func (e *Error) Error() string { return e.Text }

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

const hintNetwork = "whoever runs the node's network lets it reach that host on port 443, directly or by HTTPS_PROXY"

// A refusal is Entra's answer to a request for a token.
type refusal struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	Trace       string `json:"trace_id"`
}

// tokenShape is a token as Azure has them, wherever it stands.
var tokenShape = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// OneLine makes a foreign message fit to print: one line of at most 300 bytes, without tokens.
func OneLine(text string) string {
	return strings.Join(strings.Fields(egress.Clean(tokenShape.ReplaceAllString(text, "[hidden]"), 300)), " ")
}

// describe is Entra's own words: its message without the trace, date and address that follow it, and the id of the request.
func (r refusal) describe(hidden string) string {
	text := r.Description
	if text == "" {
		text = r.Code
	}
	for _, tail := range []string{" Trace ID:", " Correlation ID:", " Timestamp:", "\r", "\n"} {
		text, _, _ = strings.Cut(text, tail)
	}
	text = OneLine(without(text, hidden))
	if IsID(r.Trace) {
		text += " (request " + r.Trace + ")"
	}
	return text
}

// without takes a secret out of a text, however it may have been sent back.
func without(text, hidden string) string {
	if len(hidden) < 4 {
		return text
	}
	for _, form := range []string{hidden, url.QueryEscape(hidden), url.PathEscape(hidden)} {
		text = strings.ReplaceAll(text, form, "[hidden]")
	}
	return text
}

var codeShape = regexp.MustCompile(`^AADSTS(\d{4,8})\b`)

// code is the number that says what is wrong.
func (r refusal) code() int {
	var code int
	if parts := codeShape.FindStringSubmatch(r.Description); parts != nil {
		_, _ = fmt.Sscan(parts[1], &code) // digits: it cannot fail
	} else if len(r.Codes) > 0 {
		code = r.Codes[0]
	}
	return code
}

// explain makes an Error of a token that was not given, by what came back last.
func explain(ctx context.Context, who actor, ask Ask, t *trail) error {
	var own *Error
	switch {
	case errors.As(t.err, &own):
		return own
	case t.status == http.StatusTooManyRequests: // also where the time ran out while it was waited
		return &Error{Kind: ErrUnreachable, Text: t.host + " is throttling requests for tokens (429), after several tries",
			Hint: "nothing is wrong with the login: try again in a minute; if it stays, fewer nodes or processes should ask with one identity"}
	case t.status >= 500 || t.status == http.StatusRequestTimeout || t.status == http.StatusGone:
		return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("%s answered %d, several times", t.host, t.status), Hint: "try again in some minutes; https://status.azure.com tells of Azure's troubles"}
	case t.err != nil || ctx.Err() != nil:
		return &Error{Kind: ErrUnreachable, Text: named(t.host, who) + " did not answer within " + wholeTime.String(), Hint: hintNetwork}
	case t.status == 0, t.status < 300 && !t.asked:
		return explainUnasked(who, ask, t)
	}
	var r refusal
	isJSON := json.Unmarshal(t.body, &r) == nil && r.Code != ""
	if who.source == fromManaged {
		return explainManaged(who, t, r, isJSON)
	}
	if !isJSON {
		return notEntra(t)
	}
	return refused(who, t, r)
}

func named(host string, who actor) string {
	switch {
	case host != "":
		return host
	case who.authority != "":
		return who.authority
	}
	return "the identity endpoint of this node"
}

func notEntra(t *trail) error {
	return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("%s answered %d with something that is not Entra's", t.host, t.status),
		Hint: "whoever runs the node's network looks for a proxy that answers in Entra's place; AZURE_AUTHORITY_HOST may name the wrong host"}
}

// explainUnasked is for what the library did not even ask for.
func explainUnasked(who actor, ask Ask, t *trail) error {
	if who.source == fromFederation {
		file := os.Getenv("AZURE_FEDERATED_TOKEN_FILE")
		if _, err := os.ReadFile(file); err != nil {
			return &Error{Kind: ErrNoIdentity, Text: "the federated token of this node cannot be read: " + OneLine(err.Error()),
				Hint: "the operator of this node mounts the service account's token there (the pod's label azure.workload.identity/use: \"true\" does it), readable for the agent"}
		}
	}
	if t.status != 0 {
		return notEntra(t)
	}
	if ask.Tenant != "" && who.tenant != "" && ask.Tenant != who.tenant {
		return &Error{Kind: ErrRefused, Text: "what " + who.name + " is needed for belongs to another tenant (" + OneLine(ask.Tenant) + ") than it does",
			Hint: "use an identity of that tenant, or the operator of this node adds the tenant to AZURE_ADDITIONALLY_ALLOWED_TENANTS if the application has access there"}
	}
	return &Error{Kind: ErrNoIdentity, Text: who.name + " cannot be used as it is configured", Hint: "the operator of this node checks the variables AZURE_… of the agent"}
}

// explainManaged reads the answers of the metadata service and of App Service's endpoint.
func explainManaged(who actor, t *trail, r refusal, isJSON bool) error {
	words := ""
	if isJSON {
		words = ": " + r.describe("")
	}
	if t.status < 300 {
		return &Error{Kind: ErrUnreachable, Text: t.host + " answered with something that is not a token", Hint: "the operator of this node looks for what answers in the place of Azure's metadata service"}
	}
	text := fmt.Sprintf("this node cannot have a token as %s: %s answered %d%s", who.name, t.host, t.status, words)
	hint := "the operator of this node assigns a managed identity to the machine (az vm identity assign, or the node pool's kubelet identity)"
	if strings.HasPrefix(who.name, "the managed identity ") && who.name != "the managed identity of this node" {
		hint = "the operator of this node assigns that identity to the machine, or corrects AZURE_CLIENT_ID, which picks it"
	} else {
		hint += "; where it has several, AZURE_CLIENT_ID says which"
	}
	return &Error{Kind: ErrNoIdentity, Text: text, Hint: hint}
}

// refused is Entra's no, with what to do by its code.
func refused(who actor, t *trail, r refusal) error {
	code := r.code()
	e := &Error{Kind: ErrRefused, Text: fmt.Sprintf("Entra (%s) refused a token to %s: %d %s", t.host, who.name, t.status, r.describe(who.secret)), Hint: hintOf(who, code)}
	if slices.Contains([]int{90055, 90033, 90099, 50196}, code) { // throttled by tenant, transient, not yet there, a loop of asking
		e.Kind, e.Hint = ErrUnreachable, "nothing is wrong with the login: try again in some minutes"
	}
	return e
}

// hintOf says whose turn it is. The codes are Microsoft's (learn.microsoft.com/entra/identity-platform/reference-error-codes).
func hintOf(who actor, code int) string {
	place, owner := "the registry's secret", "whoever may change the secret"
	if who.source != fromSecret {
		place, owner = "the agent's environment", "the operator of this node"
	}
	id := strings.TrimPrefix(who.name, "application ")
	if !IsID(id) {
		id = "APPLICATION"
	}
	switch code {
	case 7000215:
		return owner + " puts the client secret's value into " + place + ", not its id: Azure shows the value once, and az ad app credential reset --id " + id + " makes another"
	case 7000222:
		return "the client secret has run out: az ad app credential reset --id " + id + " makes another, and " + owner + " puts it into " + place
	case 700016:
		return "check the application's id and its tenant in " + place + ": there is no such application in that tenant, or it was deleted"
	case 7000229, 7000112:
		return "the application has no service principal in that tenant, or it is disabled: whoever administers Entra runs az ad sp create --id " + id + ", or enables it"
	case 90002, 900023, 90013:
		return "check the tenant in " + place + ": az account show --query tenantId tells it, and each of Azure's clouds has its own"
	case 70021, 700211, 700212, 700213, 7002138:
		return "whoever administers Entra makes the application's federated credential (az ad app federated-credential create) match the token's issuer, subject and audience to the letter; the audience is api://AzureADTokenExchange"
	case 700024, 700027, 700023, 50012:
		return owner + " checks the federated token or certificate and the node's clock: it has run out, is not valid yet, or is signed with a key that is not registered"
	case 53003, 530003, 53000, 53001, 530031, 530035:
		return "a Conditional Access policy forbids it from here: whoever administers Entra excludes this workload or allows the node's address"
	case 500011, 1002012:
		return "the tenant does not know the resource that the token is for: check that tenant and registry or vault are in the same cloud of Azure"
	}
	return "whoever administers Entra looks the code up in the sign-in log of the application; " + owner + " checks what is in " + place
}

// HintOf returns the hint of the first Error in err's tree, or "".
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
