package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"pierhead.dev/pierhead/secret"
)

// An answer is what Vault keeps at a place, and where that is, as far as it was found out.
type answer struct {
	mount   mount
	data    map[string]any // the data object; nil where the version is gone
	version int            // of KV 2; 0 with KV 1
}

// A goneError is a version that is no more.
type goneError struct {
	version int
	how     string // "was deleted on …", "was destroyed"
}

func (g *goneError) Error() string { return fmt.Sprintf("version %d %s", g.version, g.how) }

// A mount is the engine that a path is in.
type mount struct {
	path string // without a slash at its end
	kv   int    // 1 or 2; 0 where it is not known
	kind string // "kv", "database", …; "" where it is not known
}

// A misplaced error is a path that leads to no secret of a KV engine.
type misplaced struct{ text, hint string }

func (m *misplaced) Error() string { return m.text }

// look finds the mount and reads the secret.
func look(ctx context.Context, client *api.Client, p place) (answer, error) {
	m, err := mountOf(ctx, client, p.path)
	if err != nil {
		return answer{}, err
	}
	a, err := m.read(ctx, client, p)
	a.mount = m
	return a, err
}

func (m mount) read(ctx context.Context, client *api.Client, p place) (answer, error) {
	below := strings.TrimPrefix(strings.TrimPrefix(p.path, m.path), "/")
	switch {
	case m.kind != "" && m.kind != "kv" && m.kind != "generic":
		return answer{}, &misplaced{"the engine at " + m.path + "/ is of type " + m.kind + ", not KV", "name a secret of a KV engine"}
	case below == "":
		return answer{}, &misplaced{p.path + " is a mount, and names no secret below it", form}
	case m.kv == 1 && p.version > 0:
		return answer{}, &misplaced{"the engine at " + m.path + "/ is KV version 1, which keeps no versions", "leave out ?version="}
	case m.kv == 1:
		return readKV1(ctx, client, m.path, below)
	case m.kv == 2:
		return readKV2(ctx, client, m.path, below, p.version)
	}
	// Which engine it is may not be looked up with this token: try as version 2, then as version 1.
	a, err := readKV2(ctx, client, m.path, below, p.version)
	if code := status(err); (code == http.StatusForbidden || code == http.StatusNotFound) && p.version == 0 && a.version == 0 {
		if older, err := readKV1(ctx, client, m.path, below); err == nil {
			return older, nil
		}
	}
	return a, err
}

// mountOf asks Vault which mount a path is in, as its own command line does; where it does not say, the first segment is
// taken for it.
func mountOf(ctx context.Context, client *api.Client, path string) (mount, error) {
	first, _, _ := strings.Cut(path, "/")
	raw, err := get(ctx, client, "sys/internal/ui/mounts/"+path, nil)
	switch code := status(err); {
	case code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusBadRequest:
		return mount{path: first}, nil
	case err != nil:
		return mount{}, err
	}
	var told struct {
		Path    string            `json:"path"`
		Type    string            `json:"type"`
		Options map[string]string `json:"options"`
	}
	if err := decode(raw, &told); err != nil || told.Path == "" {
		return mount{path: first}, nil
	}
	m := mount{path: strings.TrimSuffix(told.Path, "/"), kind: told.Type, kv: 1}
	if told.Options["version"] == "2" {
		m.kv = 2
	}
	if m.path != path && !strings.HasPrefix(path, m.path+"/") {
		return mount{}, &misplaced{"Vault says that " + path + " is in a mount that it is not below", "the operator looks at what answers at Vault's address"}
	}
	return m, nil
}

func readKV1(ctx context.Context, client *api.Client, at, below string) (answer, error) {
	raw, err := get(ctx, client, at+"/"+below, nil)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := decode(raw, &a.data); err != nil || a.data == nil {
		return answer{}, errGarbled
	}
	return a, nil
}

func readKV2(ctx context.Context, client *api.Client, at, below string, version int) (answer, error) {
	raw, err := get(ctx, client, at+"/data/"+below, query(version))
	if err != nil && (status(err) != http.StatusNotFound || raw == nil) {
		return answer{}, err
	}
	var told struct {
		Data     map[string]any `json:"data"`
		Metadata *struct {
			Version   json.Number `json:"version"`
			Deleted   string      `json:"deletion_time"`
			Destroyed bool        `json:"destroyed"`
		} `json:"metadata"`
	}
	if decode(raw, &told) != nil || told.Metadata == nil {
		if err == nil {
			err = errGarbled
		}
		return answer{}, err
	}
	number, _ := told.Metadata.Version.Int64()
	a := answer{data: told.Data, version: int(number)}
	switch {
	case told.Metadata.Destroyed:
		return a, &goneError{a.version, "was destroyed"}
	case told.Data == nil:
		day, _, _ := strings.Cut(told.Metadata.Deleted, "T")
		return a, &goneError{a.version, strings.TrimSpace("was deleted on " + clean(day))}
	}
	return a, nil
}

// get returns the "data" of an answer, also of a 404 that has one: a deleted version's.
func get(ctx context.Context, client *api.Client, path string, query url.Values) (json.RawMessage, error) {
	response, err := client.Logical().ReadRawWithDataWithContext(ctx, path, query)
	if response == nil {
		return nil, err
	}
	defer response.Body.Close()
	if err != nil && status(err) != http.StatusNotFound {
		return nil, err
	}
	if err == nil && response.StatusCode >= 300 {
		return nil, &api.ResponseError{StatusCode: response.StatusCode}
	}
	var body struct {
		Data json.RawMessage `json:"data"`
	}
	if decoded := json.NewDecoder(response.Body).Decode(&body); decoded != nil && err == nil {
		return nil, errGarbled
	}
	if err == nil && (len(body.Data) == 0 || string(body.Data) == "null") {
		return nil, errGarbled
	}
	return body.Data, err
}

// decode reads JSON with numbers as they are written.
func decode(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// value is the content that a reference asks for.
func (a answer) value(ref secret.Ref, p place) (secret.Value, error) {
	content, err := a.content(p.field)
	switch {
	case err != nil:
		return secret.Value{}, &secret.Error{Kind: secret.ErrNotFound, Ref: ref, Text: err.Error(), Hint: "look at its fields with vault kv get " + p.path}
	case len(content) == 0:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "it is empty", Hint: "put the login into it"}
	case len(content) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: fmt.Sprintf("its content is longer than %d KiB", secret.MaxContent>>10)}
	}
	return secret.NewValue(content), nil
}

func (a answer) content(field string) ([]byte, error) {
	var of any = a.data
	if field != "" {
		found, there := a.data[field]
		if !there {
			return nil, fmt.Errorf("the secret has no field %s", field)
		}
		if text, isText := found.(string); isText {
			return []byte(text), nil
		}
		of = found
	} else if len(a.data) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // a password with < in it stays as it was written
	if err := encoder.Encode(of); err != nil {
		return nil, fmt.Errorf("the secret has a field that is no JSON")
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
