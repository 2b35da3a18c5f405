package clouds

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"pierhead.dev/pierhead/identity/amazontest"
)

// The accounts and the region of the tests.
const (
	ours   = "123456789012"
	theirs = "210987654321"
	region = "eu-west-1"
)

// amazon puts all of Amazon into a world. Public images are in the part of the store that is called after their host.
func (w *world) amazon() *amazontest.Cloud {
	cloud := amazontest.New()
	w.cloud(cloud.Handler, cloud.Secrets)
	w.host("public.ecr.aws", cloud.PublicRegistry(w.store.behind("public.ecr.aws")))
	return cloud
}

// ecr opens an account's registry with one repository, which has an image with the tag v1. It returns the image and its
// digest, and the repository's ARN.
func (w *world) ecr(t *testing.T, cloud *amazontest.Cloud, account, region, repository string) (image, digest, arn string) {
	t.Helper()
	host := fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com", account, region)
	layers := &bucket{host: account + "-starport-layer-bucket.s3." + region + ".amazonaws.com", behind: w.store.behind(host), links: map[string]string{}}
	w.host(host, cloud.Registry(http.HandlerFunc(layers.redirect)))
	w.host(layers.host, layers)
	image = host + "/" + repository + ":v1"
	digest = w.store.put(t, image).String()
	arn = fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", region, account, repository)
	cloud.Repository(arn)
	return image, digest, arn
}

// mayPull gives a user or a role what pulling needs, by a policy of its own.
func mayPull(who *amazontest.Principal, arn string) *amazontest.Principal {
	return who.Allow("ecr:GetAuthorizationToken", "*").Allow("ecr:BatchGetImage", arn).Allow("ecr:GetDownloadUrlForLayer", arn)
}

// A bucket is where ECR sends those whom it let in for layers.
type bucket struct {
	host   string
	behind http.Handler

	mu    sync.Mutex
	links map[string]string // paths by their signature
}

// redirect stands behind ECR's door.
func (b *bucket) redirect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
		b.behind.ServeHTTP(w, r)
		return
	}
	signature := rand.Text()
	b.mu.Lock()
	b.links[signature] = r.URL.Path
	b.mu.Unlock()
	http.Redirect(w, r, "https://"+b.host+"/layer?X-Amz-Signature="+signature, http.StatusTemporaryRedirect)
}

// ServeHTTP takes signed links, and nobody who brings another login: S3 allows one only.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	path := b.links[r.URL.Query().Get("X-Amz-Signature")]
	b.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "":
		http.Error(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>", http.StatusBadRequest)
	case path == "":
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
	default:
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawQuery = path, ""
		b.behind.ServeHTTP(w, r)
	}
}
