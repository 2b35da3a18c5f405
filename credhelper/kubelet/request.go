package kubelet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// versions are the versions of the plugin API that are known; they differ in name only, but for the service-account token,
// which the first alone has.
var versions = []string{"credentialprovider.kubelet.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v1beta1", "credentialprovider.kubelet.k8s.io/v1alpha1"}

const (
	// maxRequest bounds a request, in bytes: a token, and 256 KiB of annotations, which are all that Kubernetes allows, with
	// whatever JSON adds to them.
	maxRequest = 1 << 20
	// maxImage bounds an image's name: 255 of repository, and a host.
	maxImage = 1024
)

// A request is a CredentialProviderRequest. Annotations of the service account are not read: whoever may write them is not
// who decides for which project an image is pulled.
type request struct {
	APIVersion          string `json:"apiVersion"`
	Kind                string `json:"kind"`
	Image               string `json:"image"` // "docker.io/library/ubuntu": normalised, with neither tag nor digest
	ServiceAccountToken string `json:"serviceAccountToken"`
}

// parse reads one request. Errors quote nothing of a token.
func parse(text []byte) (request, error) {
	var r request
	decoder := json.NewDecoder(bytes.NewReader(text))
	if decoder.Decode(&r) != nil {
		return r, errors.New("standard input is no request of a kubelet: it is not one JSON object") // without the error, which could quote
	}
	if _, err := decoder.Token(); err != io.EOF {
		return r, errors.New("standard input is no request of a kubelet: there is more behind it")
	}
	switch {
	case !slices.Contains(versions, r.APIVersion):
		return r, fmt.Errorf("requests of apiVersion %q are not known, only %s", shorten(r.APIVersion), strings.Join(versions, ", "))
	case r.Kind != "CredentialProviderRequest":
		return r, fmt.Errorf("a request of kind %q is not known, only CredentialProviderRequest", shorten(r.Kind))
	case !isImage(r.Image):
		return r, fmt.Errorf("the image %q is not HOST/REPOSITORY as a kubelet writes it", shorten(r.Image))
	}
	return r, nil
}

// isImage tells whether a text is host and repository at least. The agent parses it; here it must only be nothing that
// would make another key of it.
func isImage(image string) bool {
	host, repository, _ := strings.Cut(image, "/")
	if host == "" || repository == "" || len(image) > maxImage {
		return false
	}
	return strings.IndexFunc(image, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("._-/:@+[]", r)
	}) < 0
}

func shorten(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
