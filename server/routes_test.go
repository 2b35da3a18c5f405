package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/api"
)

// An operation is one of the OpenAPI document.
type operation struct{ id, method, path string }

func (o operation) pattern() string { return o.method + " " + o.path }

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// operations reads the document that the server shows.
func (k *kit) operations() []operation {
	k.t.Helper()
	status, _, text := k.send("GET", "/api/openapi.json", "", "")
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || status != http.StatusOK {
		k.t.Fatalf("OpenAPI document: %d, %v", status, err)
	}
	var all []operation
	for path, methods := range document.Paths {
		for method, o := range methods {
			all = append(all, operation{o.OperationID, strings.ToUpper(method), path})
		}
	}
	if len(all) < 30 {
		k.t.Fatalf("the document has %d operations only", len(all))
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return all
}

// The client has a method for every operation, and calls nothing else: each method is called once, and what it reached
// is compared with the document.
func TestClientReachesEveryOperation(t *testing.T) {
	k := newKit(t)
	before := len(k.log.String())
	client := reflect.ValueOf(k.client("eve"))
	for i := range client.NumMethod() {
		method := client.Method(i)
		if name := client.Type().Method(i).Name; name == "URL" || name == "CloseIdle" {
			continue
		}
		method.Call(anyArguments(t, method.Type()))
	}
	reached := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(k.log.String()[before:]), "\n") {
		var entry struct{ Msg, Route string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Msg == "request" {
			reached[entry.Route] = true
		}
	}
	for _, o := range k.operations() {
		if !reached[o.pattern()] {
			t.Errorf("no method of the client reaches %s (%s)", o.id, o.pattern())
		}
		delete(reached, o.pattern())
	}
	for route := range reached {
		t.Errorf("the client calls %s, which is not in the document", route)
	}
}

func anyArguments(t *testing.T, method reflect.Type) []reflect.Value {
	var arguments []reflect.Value
	for i := range method.NumIn() {
		switch in := method.In(i); {
		case in == reflect.TypeFor[context.Context]():
			arguments = append(arguments, reflect.ValueOf(t.Context()))
		case in == reflect.TypeFor[io.Writer]():
			arguments = append(arguments, reflect.ValueOf(io.Discard))
		case in.Kind() == reflect.String:
			arguments = append(arguments, reflect.ValueOf("x").Convert(in))
		case in == reflect.TypeFor[api.Registry]():
			arguments = append(arguments, reflect.ValueOf(api.Registry{Name: "x"}))
		default:
			arguments = append(arguments, reflect.Zero(in))
		}
	}
	return arguments
}

func TestEveryOperationWantsAToken(t *testing.T) {
	k := newKit(t)
	mistyped := k.token["alice"][:len(k.token["alice"])-1] + "!"
	deleted, err := k.client("alice").CreateToken(t.Context(), api.NewToken{Name: "gone"})
	k.must(err)
	k.must(k.client("alice").DeleteToken(t.Context(), deleted.ID))
	for _, o := range k.operations() {
		for name, token := range map[string]string{"no": "", "a mistyped": mistyped, "a deleted": deleted.Text, "a long": strings.Repeat("x", 5000)} {
			status, header, text := k.send(o.method, placeholder.ReplaceAllString(o.path, "x"), token, "")
			var envelope api.Error
			if err := json.Unmarshal([]byte(text), &envelope); err != nil {
				t.Errorf("%s: %v in %s", o.id, err, text)
			}
			if status != http.StatusUnauthorized || envelope.Error.Code != "unauthenticated" || envelope.Error.Hint == "" || header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s token: %d %s", o.id, name, status, text)
			}
		}
	}
}

func TestDocumentDescribesTypes(t *testing.T) {
	k := newKit(t)
	_, header, text := k.send("GET", "/api/openapi.json", "", "")
	for _, want := range []string{
		`"openapi":"3.1.0"`, `"oneOf":[{"enum":["all"],"type":"string"},{"items":{"type":"string"},"type":"array"}]`,
		`"oneOf":[{"type":"string"},{"$ref":"#/components/schemas/SealedView"}]`, `"operationId":"read-log"`, `"application/octet-stream"`, `"bearer"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document has no %s", want)
		}
	}
	if !strings.HasPrefix(header.Get("Content-Type"), "application/") || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers are %v", header)
	}
}
