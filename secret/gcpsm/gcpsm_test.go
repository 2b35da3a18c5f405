package gcpsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/identity/googletest"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/gcpsm"
	"pierhead.dev/pierhead/secret/secrettest"
)

const (
	robot    = "pier-node@acme-prod.iam.gserviceaccount.com"
	global   = "projects/acme-prod/secrets/registry"
	regional = "projects/acme-prod/locations/europe-west1/secrets/registry"
)

func ref(t *testing.T, text string) secret.Ref {
	t.Helper()
	r, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newSource is a machine at a Google, whose service account may read the secrets of acme-prod.
func newSource() (*googletest.Cloud, *gcpsm.Source) {
	cloud := googletest.New()
	cloud.Machine(googletest.Machine{Email: robot})
	cloud.Grant(robot, googletest.AccessVersion, "projects/acme-prod")
	return cloud, gcpsm.New(google.NewNode(google.NewClient(cloud.Transport())))
}

func clean(t *testing.T) {
	t.Helper()
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", "")
}

// bubble runs a test on a clock of its own; nobody beyond Google is asked.
func bubble(t *testing.T, test func(*testing.T, *googletest.Cloud, *gcpsm.Source)) {
	t.Helper()
	clean(t)
	synctest.Test(t, func(t *testing.T) {
		cloud, source := newSource()
		test(t, cloud, source)
		if strays := cloud.Strays(); len(strays) > 0 {
			t.Errorf("asked of %q", strays)
		}
	})
}

// bad checks an error's kind and words, that it has a hint, and that no secret is in it.
func bad(t *testing.T, cloud *googletest.Cloud, v secret.Value, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) || !v.Empty() {
		t.Fatalf("%v, %v; want %v", v, err, kind)
	}
	if secret.HintOf(err) == "" {
		t.Errorf("no hint: %v", err)
	}
	all := fmt.Sprintf("%v | %s", err, secret.HintOf(err))
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("%q is not in: %s", w, all)
		}
	}
	all += fmt.Sprintf("%+v %#v", err, err)
	for _, s := range append(cloud.Secrets(), "hunter2") {
		if strings.Contains(all, s) {
			t.Errorf("a secret is in: %s", all)
		}
	}
}

func TestContract(t *testing.T) {
	clean(t)
	for _, name := range []string{global, regional} {
		t.Run(name, func(t *testing.T) {
			cloud, source := newSource()
			secrettest.Test(t, secrettest.Subject{
				Source: source,
				Put: func(t *testing.T, content []byte) secret.Ref {
					cloud.PutSecret(name, content)
					return ref(t, "gcpsm:"+name)
				},
				Absent: ref(t, "gcpsm:"+name+"-absent"),
				Bad: []string{"gcpsm:registry", "gcpsm:projects/p/secrets/", "gcpsm:/projects/p/secrets/s", "gcpsm:projects/p/secrets/s/", "gcpsm:projects/p/secrets/s/versions/",
					"gcpsm:projects/p/secrets/s/versions/0", "gcpsm:projects/p/secrets/a/b", "gcpsm:projects/../secrets/s", "gcpsm:projects/p/secrets/s?x", "gcpsm:projects/p/secrets/s:access",
					"gcpsm:projects/p/locations/evil.com/secrets/s", "gcpsm:projects/p/locations/a@evil.com/secrets/s", "gcpsm:projects/p/locations//secrets/s", "gcpsm:projects/P/secrets/s",
					"gcpsm:projects/p/secrets/s/versions/1/versions/2", "gcpsm:projects/p/secrets/" + strings.Repeat("x", 256), "gcpsm:projects/p/secrets/s%2f", "gcpsm:https://secretmanager.googleapis.com/v1/projects/p/secrets/s"},
			})
		})
	}
}

func TestVersions(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, source *gcpsm.Source) {
		for i := range 6 {
			cloud.PutSecret(global, fmt.Appendf(nil, "content %d", i+1))
		}
		cloud.Alias(global, "production", 2)
		get := func(text string) string {
			v, err := source.Get(t.Context(), ref(t, "gcpsm:"+global+text))
			if err != nil {
				return err.Error()
			}
			return string(v.Reveal())
		}
		for text, want := range map[string]string{"": "content 6", "/versions/latest": "content 6", "/versions/1": "content 1", "/versions/production": "content 2"} {
			if got := get(text); got != want {
				t.Errorf("%q: %s", text, got)
			}
		}
		previous := func(text string) (secret.Value, error) {
			return source.Previous(t.Context(), ref(t, "gcpsm:"+global+text))
		}
		if v, err := previous(""); err != nil || string(v.Reveal()) != "content 5" {
			t.Errorf("%v, %v", v, err)
		}
		cloud.SetVersion(global, 5, googletest.Disabled)
		cloud.SetVersion(global, 4, googletest.Destroyed)
		if v, err := previous("/versions/latest"); err != nil || string(v.Reveal()) != "content 3" {
			t.Errorf("%v, %v", v, err)
		}
		cloud.SetVersion(global, 3, googletest.Disabled)
		v, err := previous("") // 2 is enabled, and too long ago
		bad(t, cloud, v, err, secret.ErrNotFound)
		for _, text := range []string{"/versions/6", "/versions/production"} {
			v, err := previous(text)
			bad(t, cloud, v, err, secret.ErrNotFound)
		}
		cloud.PutSecret(regional, []byte("only one"))
		v, err = source.Previous(t.Context(), ref(t, "gcpsm:"+regional))
		bad(t, cloud, v, err, secret.ErrNotFound)
		v, err = source.Previous(t.Context(), ref(t, "gcpsm:"+regional+"-absent"))
		bad(t, cloud, v, err, secret.ErrNotFound)
		cloud.SetVersion(global, 6, googletest.Disabled) // the newest is switched off: what is before it is not taken in its place
		v, err = source.Get(t.Context(), ref(t, "gcpsm:"+global))
		bad(t, cloud, v, err, secret.ErrNotAllowed, "DISABLED", "enable that version")
		v, err = source.Previous(t.Context(), ref(t, "gcpsm:"+global))
		bad(t, cloud, v, err, secret.ErrNotAllowed, "DISABLED")
	})
}

// A global secret and a regional one of the same name are two.
func TestLocations(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, source *gcpsm.Source) {
		cloud.PutSecret(global, []byte("global"))
		v, err := source.Get(t.Context(), ref(t, "gcpsm:"+regional))
		bad(t, cloud, v, err, secret.ErrNotFound, "secretmanager.europe-west1.rep.googleapis.com", "without a location", "--location=europe-west1")
		cloud.PutSecret(regional, []byte("regional"))
		for name, want := range map[string]string{global: "global", regional: "regional"} {
			if v, err := source.Get(t.Context(), ref(t, "gcpsm:"+name)); err != nil || string(v.Reveal()) != want {
				t.Errorf("%s: %v, %v", name, v, err)
			}
		}
	})
}

func TestI17Refusals(t *testing.T) {
	for what, c := range map[string]struct {
		arrange func(*googletest.Cloud)
		kind    error
		words   []string
	}{
		"no right": {func(c *googletest.Cloud) { c.Revoke(robot, googletest.AccessVersion, "projects/acme-prod") }, secret.ErrNotAllowed,
			[]string{robot + " may not read it", "secretmanager.versions.access", "roles/secretmanager.secretAccessor", "--member=serviceAccount:" + robot}},
		"access scopes": {func(c *googletest.Cloud) {
			c.Machine(googletest.Machine{Email: robot, Scopes: []string{"https://www.googleapis.com/auth/devstorage.read_only"}})
		}, secret.ErrNotAllowed, []string{"access scopes", "cloud-platform"}},
		"API switched off": {access(googletest.Trouble{Status: 403, Reason: "SERVICE_DISABLED", Message: "Secret Manager API has not been used in project 42 before or it is disabled."}),
			secret.ErrNotAllowed, []string{"gcloud services enable secretmanager.googleapis.com --project=acme-prod"}},
		"token not taken": {access(googletest.Trouble{Status: 401, Message: "Request had invalid authentication credentials."}), secret.ErrNotAllowed, []string{"401", robot}},
		"destroyed":       {func(c *googletest.Cloud) { c.SetVersion(global, 1, googletest.Destroyed) }, secret.ErrNotAllowed, []string{"DESTROYED", "add a new one"}},
		"damaged":         {func(c *googletest.Cloud) { c.Corrupt(global) }, secret.ErrUnreachable, []string{"CRC32C"}},
		"throttled":       {access(googletest.Trouble{Status: 429, Message: "Quota exceeded for quota metric 'Access requests'"}), secret.ErrUnreachable, []string{"throttling", "quota"}},
		"their fault":     {access(googletest.Trouble{Status: 503}), secret.ErrUnreachable, []string{"503"}},
		"slow":            {access(googletest.Trouble{Delay: time.Hour}), secret.ErrUnreachable, []string{"secretmanager.googleapis.com", "HTTPS_PROXY"}},
		"garbled":         {access(googletest.Trouble{Body: "<html>hunter2</html>"}), secret.ErrUnreachable, []string{"is no secret"}},
		"another answer":  {access(googletest.Trouble{Body: `{"name":"hunter2"}`}), secret.ErrUnreachable, []string{"is no secret"}},
		"no checksum":     {access(googletest.Trouble{Body: `{"name":"projects/1/secrets/registry/versions/1","payload":{"data":"aHVudGVyMg=="}}`}), secret.ErrUnreachable, []string{"CRC32C"}},
		"endless":         {access(googletest.Trouble{Body: strings.Repeat("hunter2", 1<<18)}), secret.ErrUnreachable, []string{"longer than"}},
		"echo":            {access(googletest.Trouble{Echo: true}), secret.ErrNotAllowed, []string{"400"}},
		"away":            {func(c *googletest.Cloud) { c.Away("secretmanager.googleapis.com", true) }, secret.ErrUnreachable, []string{"connection refused"}},
		"no identity":     {func(c *googletest.Cloud) { c.Away("169.254.169.254", true) }, secret.ErrNotAllowed, []string{"GOOGLE_APPLICATION_CREDENTIALS"}},
		"no service account": {func(c *googletest.Cloud) { c.Machine(googletest.Machine{}) }, secret.ErrNotAllowed,
			[]string{"no service account"}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, cloud *googletest.Cloud, source *gcpsm.Source) {
				cloud.PutSecret(global, []byte("hunter2"))
				c.arrange(cloud)
				start := time.Now()
				v, err := source.Get(t.Context(), ref(t, "gcpsm:"+global))
				bad(t, cloud, v, err, c.kind, append(c.words, "gcpsm:"+global)...)
				if took := time.Since(start); took > 50*time.Second {
					t.Errorf("told after %v", took)
				}
			})
		})
	}
}

func access(tr googletest.Trouble) func(*googletest.Cloud) {
	return func(c *googletest.Cloud) { c.Trouble(googletest.OpAccess, tr) }
}

// A fleet's worth of questions makes one token, and throttling is waited out.
func TestP9ThousandAsks(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, source *gcpsm.Source) {
		cloud.PutSecret(global, []byte("content"))
		cloud.Trouble(googletest.OpAccess, googletest.Trouble{Status: 429, Times: 20})
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				if v, err := source.Get(t.Context(), ref(t, "gcpsm:"+global)); err != nil || string(v.Reveal()) != "content" {
					t.Errorf("%v, %v", v, err)
				}
			})
		}
		group.Wait()
		if n := cloud.Calls(googletest.OpMachineToken); n != 1 {
			t.Errorf("%d tokens were asked for", n)
		}
	})
}

func TestCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, source *gcpsm.Source) {
		cloud.PutSecret(global, []byte("content"))
		cloud.Trouble(googletest.OpAccess, googletest.Trouble{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if v, err := source.Get(ctx, ref(t, "gcpsm:"+global)); !errors.Is(err, context.DeadlineExceeded) || !v.Empty() {
			t.Errorf("%v, %v", v, err)
		}
	})
}

// At debug level Google's library logs what it gets; here it does not.
func TestLibraryDoesNotLog(t *testing.T) {
	clean(t)
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	kept := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = kept }()
	cloud, source := newSource()
	cloud.PutSecret(global, []byte("hunter2"))
	if _, err := source.Get(t.Context(), ref(t, "gcpsm:"+global)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil || len(bytes.TrimSpace(text)) > 0 {
		t.Errorf("%d bytes were logged, %v", len(text), err)
	}
}
