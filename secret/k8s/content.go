package k8s

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"pierhead.dev/pierhead/secret"
)

// The keys by which a secret is a login, whatever its type; server says whom it is for.
const (
	keyUsername = corev1.BasicAuthUsernameKey
	keyPassword = corev1.BasicAuthPasswordKey
	keyServer   = "server"
)

// value is the content of a secret, or of one of its keys.
func value(ref secret.Ref, p place, found *corev1.Secret) (secret.Value, error) {
	content, err := contentOf(p, found)
	switch {
	case err != nil:
		err.Ref = ref
		return secret.Value{}, err
	case len(content) == 0:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "it is empty", Hint: "put the login into it"}
	case len(content) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: fmt.Sprintf("its content is longer than %d KiB", secret.MaxContent>>10)}
	}
	return secret.NewValue(content), nil
}

func contentOf(p place, found *corev1.Secret) ([]byte, *secret.Error) {
	switch {
	case p.key != "":
		content, there := found.Data[p.key]
		if !there {
			return nil, &secret.Error{Kind: secret.ErrNotFound, Text: "the secret has no key " + p.key, Hint: "its keys are " + keysOf(found)}
		}
		if p.key == corev1.DockerConfigKey && found.Type == corev1.SecretTypeDockercfg {
			return legacy(content)
		}
		return content, nil
	case found.Type == corev1.SecretTypeDockerConfigJson:
		return auths(found.Data[corev1.DockerConfigJsonKey])
	case found.Type == corev1.SecretTypeDockercfg:
		return legacy(found.Data[corev1.DockerConfigKey])
	case isLogin(found):
		return login(found.Data)
	case len(found.Data) == 1:
		for _, content := range found.Data {
			return content, nil
		}
	case len(found.Data) == 0:
		return nil, nil
	}
	return nil, &secret.Error{Kind: secret.ErrContent, Text: "the secret has several keys, and which one is meant is not known",
		Hint: "write " + Scheme + ":" + p.name + "/KEY; its keys are " + keysOf(found)}
}

// isLogin tells whether a secret is a user name and a password, by its type or by having these keys and at most server
// beside them.
func isLogin(found *corev1.Secret) bool {
	_, hasUsername := found.Data[keyUsername]
	_, hasPassword := found.Data[keyPassword]
	if !hasUsername || !hasPassword {
		return false
	}
	for key := range found.Data {
		if key != keyUsername && key != keyPassword && key != keyServer && found.Type != corev1.SecretTypeBasicAuth {
			return false
		}
	}
	return true
}

func login(data map[string][]byte) ([]byte, *secret.Error) {
	out := map[string]string{}
	for _, key := range []string{keyUsername, keyPassword, keyServer} {
		text, there := data[key]
		if !utf8.Valid(text) {
			return nil, &secret.Error{Kind: secret.ErrContent, Text: "the key " + key + " is not text in UTF-8", Hint: "values under data are base64 of the text, once; under stringData they are the text itself"}
		}
		if there {
			out[key] = string(text)
		}
	}
	return encode(out), nil
}

// auths keeps a Docker configuration's logins; what else docker login writes beside them is no part of a secret here.
func auths(content []byte) ([]byte, *secret.Error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, notDocker(corev1.DockerConfigJsonKey)
	}
	logins, there := fields["auths"]
	switch {
	case !there:
		return nil, &secret.Error{Kind: secret.ErrContent, Text: corev1.DockerConfigJsonKey + ` in the secret has no "auths"`,
			Hint: `kubectl create secret docker-registry writes one; a secret of type kubernetes.io/dockercfg has none, and another key`}
	case len(fields) == 1:
		return content, nil // as it was written, so that a key written twice is still seen
	}
	return encode(map[string]json.RawMessage{"auths": logins}), nil
}

// legacy makes today's form of a .dockercfg, which is the logins alone.
func legacy(content []byte) ([]byte, *secret.Error) {
	if !json.Valid(content) || !bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) {
		return nil, notDocker(corev1.DockerConfigKey)
	}
	return slices.Concat([]byte(`{"auths":`), content, []byte("}")), nil
}

func notDocker(key string) *secret.Error {
	return &secret.Error{Kind: secret.ErrContent, Text: key + " in the secret is not the JSON of a Docker configuration",
		Hint: "values under data are base64 of the text, once; under stringData they are the text itself"}
}

// encode is JSON as a person would write it: json.Marshal alone would spell < and & in a password as escapes, which is
// the same text but not the same bytes.
func encode(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil // strings and JSON always encode
	}
	return bytes.TrimSpace(out.Bytes())
}

// keysOf names a secret's keys, of which kubectl describe tells everybody.
func keysOf(found *corev1.Secret) string {
	keys := slices.Sorted(maps.Keys(found.Data))
	const most = 8
	switch {
	case len(keys) == 0:
		return "none"
	case len(keys) > most:
		keys = append(keys[:most:most], "others")
	}
	return strings.Join(keys, ", ")
}
