package google_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/identity/googletest"
)

const (
	robot  = "pier-node@acme-prod.iam.gserviceaccount.com"
	target = "registry-reader@acme-prod.iam.gserviceaccount.com"
)

// bubble runs a test on a clock of its own, with a Google and a node in it and no credentials of the machine's.
func bubble(t *testing.T, test func(t *testing.T, cloud *googletest.Cloud, node *google.Node)) {
	t.Helper()
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", "")
	synctest.Test(t, func(t *testing.T) {
		cloud := googletest.New()
		test(t, cloud, google.NewNode(google.NewClient(cloud.Transport())))
		if strays := cloud.Strays(); len(strays) > 0 {
			t.Errorf("asked of %q", strays)
		}
	})
}

// use names a file with GOOGLE_APPLICATION_CREDENTIALS.
func use(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Setenv("GOOGLE_APPLICATION_CREDENTIALS", name); err != nil { // bubble puts it back
		t.Fatal(err)
	}
	return name
}

// good checks that a token stands for a principal at that Google.
func good(t *testing.T, cloud *googletest.Cloud, token google.Token, err error, principal string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	who, expires, ok := cloud.Token(string(token.Value.Reveal()))
	if !ok || who != principal {
		t.Fatalf("a token of %q, %v; want one of %s", who, ok, principal)
	}
	if d := expires.Sub(token.Expires); d < -2*time.Second || d > 2*time.Second {
		t.Errorf("expires %v, and says %v", expires, token.Expires)
	}
}

// bad checks an error's kind and words, that it has a hint, and that no secret is in it.
func bad(t *testing.T, cloud *googletest.Cloud, err, kind error, words ...string) {
	t.Helper()
	var e *google.Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Fatalf("%v, want %v", err, kind)
	}
	if e.Hint == "" {
		t.Errorf("no hint: %v", e)
	}
	text := e.Text + " | " + e.Hint
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in: %s", w, text)
		}
	}
	text += fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, s := range cloud.Secrets() {
		if strings.Contains(text, s) {
			t.Errorf("a secret is in: %s", text)
		}
	}
}

func TestMachine(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot})
		token, err := node.Token(t.Context())
		good(t, cloud, token, err, robot)
		if token.Principal != robot {
			t.Errorf("principal %q", token.Principal)
		}
	})
}

// A thousand who ask at once make one call, and one who goes away takes nothing from the others.
func TestI7ThousandAsksMakeOneCall(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot})
		cloud.Trouble(googletest.OpMachineToken, googletest.Trouble{Delay: time.Second})
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := node.Token(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient one: %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			group.Go(func() {
				token, err := node.Token(t.Context())
				if err != nil || token.Principal != robot {
					t.Errorf("%v, %v", token.Principal, err)
				}
			})
		}
		group.Wait()
		if e, k := cloud.Calls(googletest.OpEmail), cloud.Calls(googletest.OpMachineToken); e != 1 || k != 1 {
			t.Errorf("%d and %d calls", e, k)
		}
	})
}

// Off Google, a node knows within two seconds, whatever the address does; it remembers for a minute, and then looks again.
func TestNoIdentity(t *testing.T) {
	for what, arrange := range map[string]func(*googletest.Cloud){
		"refused": func(*googletest.Cloud) {},
		"silent": func(c *googletest.Cloud) {
			c.Machine(googletest.Machine{Email: robot})
			c.Trouble(googletest.OpEmail, googletest.Trouble{Delay: time.Hour})
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
				arrange(cloud)
				start := time.Now()
				_, err := node.Token(t.Context())
				bad(t, cloud, err, google.ErrNoIdentity, "169.254.169.254", "GOOGLE_APPLICATION_CREDENTIALS")
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				calls := cloud.Calls(googletest.OpEmail)
				for range 100 {
					if _, err = node.Token(t.Context()); !errors.Is(err, google.ErrNoIdentity) {
						t.Fatal(err)
					}
				}
				if time.Since(start) > 2*time.Second || cloud.Calls(googletest.OpEmail) != calls {
					t.Errorf("it was not remembered")
				}
				cloud.Trouble(googletest.OpEmail, googletest.Trouble{})
				cloud.Machine(googletest.Machine{Email: robot})
				time.Sleep(time.Minute)
				token, err := node.Token(t.Context())
				good(t, cloud, token, err, robot)
			})
		})
	}
}

// unreachable is a network without a way to anybody.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
}

// Where there is no way to a metadata server, that is known at once: a public image waits for nothing.
func TestNoWayToAMetadataServer(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
		start := time.Now()
		_, err := google.NewNode(google.NewClient(unreachable{})).Token(t.Context())
		bad(t, cloud, err, google.ErrNoIdentity, "no metadata server")
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A metadata server of Google's that stumbles is one nevertheless: its node has an identity, just not now.
func TestStumblingMetadataServer(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot})
		cloud.Trouble(googletest.OpEmail, googletest.Trouble{Status: 503})
		_, err := node.Token(t.Context())
		bad(t, cloud, err, google.ErrUnreachable, "503")
		cloud.Away("169.254.169.254", true)
		_, err = node.Token(t.Context())
		bad(t, cloud, err, google.ErrUnreachable, "did not answer", "network policy")
		cloud.Away("169.254.169.254", false)
		cloud.Trouble(googletest.OpEmail, googletest.Trouble{Status: 503, Times: 2})
		token, err := node.Token(t.Context())
		good(t, cloud, token, err, robot)
	})
}

func TestMachineWithoutServiceAccount(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{})
		_, err := node.Token(t.Context())
		bad(t, cloud, err, google.ErrNoIdentity, "no service account", "attach")
	})
}

// Another cloud's metadata service at the same address is no identity at Google.
func TestAnotherMetadataService(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	server := httptest.NewServer(nil) // Go's own "404 page not found", as AWS's would say
	defer server.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	_, err := google.NewNode(google.NewClient(nil)).Token(t.Context())
	bad(t, googletest.New(), err, google.ErrNoIdentity, "no metadata server of Google's")
}

// The same over real sockets, where GCE_METADATA_HOST says; a proxy of the environment is not asked.
func TestGCEMetadataHost(t *testing.T) {
	cloud := googletest.New()
	cloud.Machine(googletest.Machine{Email: robot})
	server := httptest.NewServer(cloud.Handler("metadata.google.internal"))
	defer server.Close()
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	token, err := google.NewNode(google.NewClient(nil)).Token(t.Context())
	good(t, cloud, token, err, robot)
}

// What the metadata server has kept may be nearly at its end: it is asked again, and the end that came back counts.
func TestP3NearlyEndedTokens(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot, Aged: []time.Duration{30 * time.Second}})
		token, err := node.Token(t.Context())
		good(t, cloud, token, err, robot)
		if left := time.Until(token.Expires); left < 50*time.Minute || cloud.Calls(googletest.OpMachineToken) != 2 {
			t.Errorf("%v left after %d calls", left, cloud.Calls(googletest.OpMachineToken))
		}
	})
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot, Aged: []time.Duration{50 * time.Second, 90 * time.Second, 70 * time.Second}})
		start := time.Now()
		token, err := node.Token(t.Context())
		good(t, cloud, token, err, robot)
		if left := token.Expires.Sub(start); left < 85*time.Second || left > 95*time.Second || time.Since(start) > 5*time.Second {
			t.Errorf("the best of three has %v, after %v", left, time.Since(start))
		}
	})
}

// Over half a day every token is good, Google is asked about every third of an hour, and an outage within a token's life is
// not noticed.
func TestP3HalfADay(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		use(t, cloud.Account(robot).Key())
		for minute := range 12 * 60 {
			cloud.Away("oauth2.googleapis.com", minute%60 >= 25 && minute%60 < 50)
			token, err := node.Token(t.Context())
			if err != nil {
				t.Fatalf("minute %d: %v", minute, err)
			}
			if who, _, ok := cloud.Token(string(token.Value.Reveal())); !ok || who != robot {
				t.Fatalf("minute %d: a token of %q, %v", minute, who, ok)
			}
			time.Sleep(time.Minute)
		}
		if n := cloud.Calls(googletest.OpToken); n < 12 || n > 60 {
			t.Errorf("%d calls in 12 h", n)
		}
	})
}

func TestKeyFile(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		use(t, cloud.Account(robot).Key())
		cloud.Machine(googletest.Machine{Email: target})
		token, err := node.Token(t.Context())
		good(t, cloud, token, err, robot)
		if cloud.Calls(googletest.OpEmail) != 0 {
			t.Error("the metadata server was asked beside the file")
		}
		cloud.Account(robot).DeleteKeys()
		use(t, cloud.Account(robot).Key()) // rotated on the node: no restart
		time.Sleep(30 * time.Minute)
		token, err = node.Token(t.Context())
		good(t, cloud, token, err, robot)
	})
}

// gcloud's own file, in the home directory of whoever once logged in there, is never looked at.
func TestGcloudsFileIsNotRead(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("CLOUDSDK_CONFIG", filepath.Join(home, ".config", "gcloud"))
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		name := filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, cloud.Account(robot).Key(), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := node.Token(t.Context())
		bad(t, cloud, err, google.ErrNoIdentity)
	})
}

func TestImpersonatedFile(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Account(target)
		file, err := json.Marshal(map[string]any{"type": "impersonated_service_account", "delegates": []string{},
			"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + target + ":generateAccessToken",
			"source_credentials":                json.RawMessage(cloud.Account(robot).Key())})
		if err != nil {
			t.Fatal(err)
		}
		use(t, file)
		_, err = node.Token(t.Context())
		bad(t, cloud, err, google.ErrRefused, "403", "roles/iam.serviceAccountTokenCreator", target)
		cloud.Grant(robot, googletest.GetAccessToken, target)
		token, err := node.Token(t.Context())
		good(t, cloud, token, err, target)
	})
}

const subjectName = "system:serviceaccount:pier:agent"

// federated makes an external_account file of the operator's, whose token lies where it says.
func federated(t *testing.T, audience, source, impersonate string) []byte {
	t.Helper()
	f := map[string]any{"type": "external_account", "audience": audience, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": google.STSURL, "credential_source": map[string]any{"file": source}}
	if impersonate != "" {
		f["service_account_impersonation_url"] = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + impersonate + ":generateAccessToken"
	}
	content, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestFederatedFile(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		issuer := cloud.NewIssuer("https://oidc.eks.example.com/id/1")
		audience := cloud.Provider(42, "clusters", "eks", issuer)
		source := filepath.Join(t.TempDir(), "token")
		use(t, federated(t, audience, source, ""))
		_, err := node.Token(t.Context())
		bad(t, cloud, err, google.ErrNoIdentity, source, "not there")
		time.Sleep(time.Minute)

		if err := os.WriteFile(source, []byte(issuer.Sign(subjectName, "https:"+audience, time.Hour)), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := node.Token(t.Context())
		const pool = "iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/clusters"
		good(t, cloud, token, err, "principal://"+pool+"/subject/"+subjectName)
		if token.Principal != "principalSet://"+pool+"/*" {
			t.Errorf("principal %q", token.Principal)
		}
		use(t, federated(t, audience, source, target))
		cloud.Account(target)
		cloud.Grant(token.Principal, googletest.GetAccessToken, target) // of the set, not of the member
		time.Sleep(30 * time.Minute)
		_, err = node.Token(t.Context())
		bad(t, cloud, err, google.ErrRefused, target, "iam.serviceAccounts.getAccessToken")
		cloud.Grant("principal://"+pool+"/subject/"+subjectName, googletest.GetAccessToken, target)
		token, err = node.Token(t.Context())
		good(t, cloud, token, err, target)
	})
}

func TestBadFiles(t *testing.T) {
	for content, word := range map[string]string{
		"":                           "not JSON",
		"hunter2":                    "not JSON",
		`{"type":"authorized_user"}`: "none of service_account",
		`{"type":"service_account","client_email":"a@example.com"}`: "client_email",
		`{"type":"service_account","universe_domain":"evil.com"}`:   "universe",
		`{"type":"impersonated_service_account","service_account_impersonation_url":"https://evil.com/v1/projects/-/serviceAccounts/` + target + `:generateAccessToken"}`: "none of Google's",
		strings.Repeat("x", 65<<10): "64 KiB",
	} {
		bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
			name := use(t, []byte(content))
			_, err := node.Token(t.Context())
			bad(t, cloud, err, google.ErrNoIdentity, name, word)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the content is in %v", err)
			}
		})
	}
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		if err := os.Remove(use(t, nil)); err != nil {
			t.Fatal(err)
		}
		_, err := node.Token(t.Context())
		bad(t, cloud, err, google.ErrNoIdentity, "not there")
	})
}
