package kubelet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/internal/doors"
)

// seenRequest is what a kubelet of 1.34 wrote for a pod with a service account.
const seenRequest = `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"127.0.0.1:5000/team/hello","serviceAccountToken":"eyJhbGciOiJSUzI1NiJ9.e30.c2ln","serviceAccountAnnotations":{"example.test/profile":"prod"}}`

func asking(version, image string) string {
	return fmt.Sprintf(`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/%s","image":%q}`, version, image) + "\n"
}

// run starts the plugin with an agent that answers so, and returns its exit code, what it wrote, and what it asked.
func run(stdin string, loan doors.Loan, err error, arguments ...string) (exit int, out, errs string, asked doors.Ask) {
	var stdout, stderr bytes.Buffer
	exit = Run(arguments, strings.NewReader(stdin), &stdout, &stderr, func(_ context.Context, ask doors.Ask) (doors.Loan, error) {
		asked = ask
		return loan, err
	}, "v1.2.3")
	return exit, stdout.String(), stderr.String(), asked
}

func TestAnswers(t *testing.T) {
	alice := func(reach doors.Reach, seconds int64) doors.Loan {
		return doors.Loan{Username: "alice", Password: "s3cret", Host: "canonical.example.com", Reach: reach, CacheFor: seconds}
	}
	answer := func(version, kind, duration, auth string) string {
		return `{"apiVersion":"credentialprovider.kubelet.k8s.io/` + version + `","kind":"CredentialProviderResponse","cacheKeyType":"` + kind + `","cacheDuration":"` + duration + `","auth":{` + auth + "}}\n"
	}
	const login = `{"username":"alice","password":"s3cret"}`
	for _, c := range []struct {
		name, stdin string
		loan        doors.Loan
		want        string
	}{
		{"a part of a host", asking("v1", "registry.example.com/team/app"), alice(doors.ReachRepository, 300), answer("v1", "Image", "5m0s", `"registry.example.com/team/app":`+login)},
		{"a whole host", asking("v1", "registry.example.com:5000/team/app"), alice(doors.ReachHost, 43200), answer("v1", "Registry", "12h0m0s", `"registry.example.com:5000":`+login)},
		{"a whole host, for a service account", seenRequest, alice(doors.ReachHost, 90), answer("v1", "Registry", "1m30s", `"127.0.0.1:5000":`+login)},
		{"an unknown reach is the smaller one", asking("v1", "registry.example.com/app"), alice("world", 1), answer("v1", "Image", "1s", `"registry.example.com/app":`+login)},
		{"Docker Hub", asking("v1", "docker.io/library/ubuntu"), alice(doors.ReachHost, 0), answer("v1", "Registry", "0s", `"docker.io":`+login)},
		{"the host as the kubelet has it", asking("v1", "Reg.Example.com:443/app"), alice(doors.ReachHost, 0), answer("v1", "Registry", "0s", `"Reg.Example.com:443":`+login)},
		{"with tag and digest all the same", asking("v1", "r.example.com:5000/a/b:1@sha256:"+strings.Repeat("0", 64)), alice(doors.ReachRepository, 0), answer("v1", "Image", "0s", `"r.example.com:5000/a/b":`+login)},
		{"a repository that looks like an API's version", asking("v1", "r.example.com/v2/app"), alice(doors.ReachRepository, 0), answer("v1", "Image", "0s", `"r.example.com/v2/v2/app":`+login)},
		{"IPv6 with a port", asking("v1", "[::1]:5000/app"), alice(doors.ReachHost, 0), answer("v1", "Registry", "0s", `"[::1]:5000":`+login)},
		{"time that ran out meanwhile", asking("v1", "r.example.com/app"), alice(doors.ReachHost, -5), answer("v1", "Registry", "0s", `"r.example.com":`+login)},
		{"v1beta1", asking("v1beta1", "r.example.com/app"), alice(doors.ReachHost, 60), answer("v1beta1", "Registry", "1m0s", `"r.example.com":`+login)},
		{"v1alpha1", asking("v1alpha1", "r.example.com/app"), alice(doors.ReachHost, 60), answer("v1alpha1", "Registry", "1m0s", `"r.example.com":`+login)},
		{"a field of tomorrow", `{"new":{"a":[1]},` + asking("v1", "r.example.com/app")[1:], alice(doors.ReachHost, 60), answer("v1", "Registry", "1m0s", `"r.example.com":`+login)},
	} {
		t.Run(c.name, func(t *testing.T) {
			exit, out, errs, asked := run(c.stdin, c.loan, nil)
			if exit != 0 || out != c.want || errs != "" {
				t.Errorf("exit %d\n%s%s%s", exit, out, c.want, errs)
			}
			if asked.Door != doors.Kubelet || !strings.Contains(c.stdin, `"`+asked.Image+`"`) || asked.ServiceAccountToken != "" && !strings.Contains(c.stdin, asked.ServiceAccountToken) {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

// Nothing known for the image is an answer; everything else that brings no login is told and fails.
func TestWithoutALogin(t *testing.T) {
	none := &credhelper.Refusal{Refusal: doors.Refusal{Reason: "no registry covers it", Hint: "add one"}, None: true}
	exit, out, errs, _ := run(asking("v1beta1", "r.example.com/app"), doors.Loan{}, none)
	if want := `{"apiVersion":"credentialprovider.kubelet.k8s.io/v1beta1","kind":"CredentialProviderResponse","cacheKeyType":"Image","cacheDuration":"0s","auth":{}}` + "\n"; exit != 0 || out != want || errs != "" {
		t.Errorf("exit %d %s%s", exit, out, errs)
	}
	gone := &credhelper.Refusal{Refusal: doors.Refusal{Reason: "the secret is gone\n\x1b[31mfor good\u0085", Hint: "put it\nback"}}
	exit, out, errs, _ = run(asking("v1", "r.example.com/app"), doors.Loan{}, gone)
	if exit != 1 || out != "" || errs != "pierhead: the secret is gone [31mfor good (hint: put it back)\n" {
		t.Errorf("exit %d %q %q", exit, out, errs)
	}
	if _, _, errs, _ = run(asking("v1", "r.example.com/app"), doors.Loan{}, errors.New(strings.Repeat("ü", 5000))); len(errs) > 2010 || strings.ContainsRune(errs, '\ufffd') {
		t.Errorf("%d bytes", len(errs))
	}
	if exit, out, errs, _ = run(asking("v1", "[::1]/app"), doors.Loan{Username: "a", Password: "b"}, nil); exit != 1 || out != "" || !strings.Contains(errs, "with its port") {
		t.Errorf("exit %d %q %q", exit, out, errs)
	}
}

// An answer that nobody takes is a failure, and is not told with what is in it.
func TestAnswerThatCannotBeWritten(t *testing.T) {
	lend := func(context.Context, doors.Ask) (doors.Loan, error) {
		return doors.Loan{Username: "alice", Password: "s3cret", Reach: doors.ReachHost}, nil
	}
	var errs bytes.Buffer
	read, write := io.Pipe()
	read.Close()
	if exit := Run(nil, strings.NewReader(seenRequest), write, &errs, lend, ""); exit != 1 || strings.Contains(errs.String(), "s3cret") || errs.Len() == 0 {
		t.Errorf("exit %d %s", exit, errs.String())
	}
}

func TestArguments(t *testing.T) {
	for argument, want := range map[string]string{"--version": "pier-credential-provider (pierhead.dev/pierhead) v1.2.3\n", "--help": usage} {
		if exit, out, errs, asked := run(seenRequest, doors.Loan{}, nil, argument); exit != 0 || out != want || errs != "" || asked.Door != "" {
			t.Errorf("%s: exit %d %q %q", argument, exit, out, errs)
		}
	}
	if exit, out, errs, asked := run(seenRequest, doors.Loan{}, nil, "get"); exit != 2 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "args") || asked.Door != "" {
		t.Errorf("exit %d %q %q", exit, out, errs)
	}
}

func TestRefusesWhatIsNoRequest(t *testing.T) {
	secret := "eyJhbGciOiJSUzI1NiJ9" // of a token in what cannot be read
	for name, stdin := range map[string]string{
		"nothing": "", "an array": "[]", "null": "null", "two requests": asking("v1", "r.example.com/app") + asking("v1", "r.example.com/app"), "half of one": seenRequest[:len(seenRequest)-1],
		"a number as the token": `{"serviceAccountToken":1}`, "a token that is broken off": `{"serviceAccountToken":"` + secret + `\x"}`, "another version": asking("v2", "r.example.com/app"),
		"another group":         `{"kind":"CredentialProviderRequest","apiVersion":"v1","image":"r.example.com/app"}`,
		"another kind":          `{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"r.example.com/app"}`,
		"no image":              asking("v1", ""),
		"a short name":          asking("v1", "ubuntu"),
		"no host":               asking("v1", "/app"),
		"no repository":         asking("v1", "r.example.com/"),
		"a host that is a glob": asking("v1", "*.example.com/app"),
		"spaces":                asking("v1", "r.example.com/app b"),
		"a query":               asking("v1", "r.example.com/app?x"),
		"a long name":           asking("v1", "r.example.com/"+strings.Repeat("a", maxImage)),
		"much too much":         `{"x":"` + strings.Repeat("a", maxRequest) + `"}`,
	} {
		exit, out, errs, asked := run(stdin, doors.Loan{Username: "a", Password: "b"}, nil)
		if exit != 2 || out != "" || strings.Count(errs, "\n") != 1 || asked.Door != "" || strings.Contains(errs, secret) {
			t.Errorf("%s: exit %d %q %q %+v", name, exit, out, errs, asked)
		}
	}
}

// A kubelet that never ends its request does not keep the plugin, and neither does an agent that never answers.
func TestEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, end := io.Pipe()
		var out, errs bytes.Buffer
		if exit := Run(nil, in, &out, &errs, nil, ""); exit != 2 || out.Len() != 0 || !strings.Contains(errs.String(), "in time") {
			t.Errorf("exit %d %s", exit, errs.String())
		}
		end.Close()
		errs.Reset()
		begun := time.Now()
		never := func(ctx context.Context, _ doors.Ask) (doors.Loan, error) {
			<-ctx.Done()
			return doors.Loan{}, errors.New("the agent did not answer in time")
		}
		if exit := Run(nil, strings.NewReader(seenRequest), &out, &errs, never, ""); exit != 1 || out.Len() != 0 || time.Since(begun) <= doors.KubeletWithin || time.Since(begun) > 15*time.Second {
			t.Errorf("exit %d after %v: %s", exit, time.Since(begun), errs.String())
		}
	})
}

// A request is answered in its own version, with one key that begins with its own host, or refused.
func FuzzRun(f *testing.F) {
	for _, text := range []string{seenRequest, asking("v1", "docker.io/library/ubuntu"), asking("v1alpha1", "[::1]:5000/v1/a:b@sha256:c"), `{"image":null}`, "[]"} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, stdin []byte, whole bool) {
		loan := doors.Loan{Username: "alice", Password: "s3cret", Reach: doors.ReachRepository, CacheFor: 7}
		if whole {
			loan.Reach = doors.ReachHost
		}
		exit, out, errs, asked := run(string(stdin), loan, nil)
		if exit != 0 {
			if out != "" || errs == "" || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d %q %q", exit, out, errs)
			}
			return
		}
		var given struct{ APIVersion string }
		var answer response
		if json.Unmarshal(stdin, &given) != nil || json.Unmarshal([]byte(out), &answer) != nil || given.APIVersion != answer.APIVersion || len(answer.Auth) != 1 || answer.CacheKeyType == "Global" {
			t.Fatalf("%s%s", stdin, out)
		}
		host, _, _ := strings.Cut(asked.Image, "/")
		for key := range answer.Auth {
			if key != host && !strings.HasPrefix(key, host+"/") || key == host && !whole {
				t.Errorf("key %q for %q", key, asked.Image)
			}
		}
	})
}
