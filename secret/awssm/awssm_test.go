package awssm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/identity/amazontest"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/secrettest"
)

const account = "123456789012"

type world struct {
	*amazontest.Cloud
	role   *amazontest.Principal
	secret *amazontest.Secret
	*Source
}

// newWorld is a node whose role may read a secret in Ireland, wherever the process is.
func newWorld(t *testing.T) world {
	t.Helper()
	amazontest.Environment(t, "AWS_REGION=us-west-2")
	c := amazontest.New()
	role := c.Role("aws", account, "cluster_node_role", amazontest.Trust{}).Allow("secretsmanager:GetSecretValue", "*")
	c.SetInstance(&amazontest.Instance{Role: role})
	return world{c, role, c.Secret("aws", "eu-west-1", account, "registry/jfrog"), New(amazon.New(amazon.Config{Transport: c.Transport()}))}
}

func ref(t testing.TB, text string) secret.Ref {
	t.Helper()
	r, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestContract(t *testing.T) {
	w := newWorld(t)
	for name, put := range map[string]func([]byte){"SecretString": w.secret.Put, "SecretBinary": w.secret.PutBinary} {
		t.Run(name, func(t *testing.T) {
			secrettest.Test(t, secrettest.Subject{
				Source: w.Source,
				Put: func(t *testing.T, content []byte) secret.Ref {
					put(content)
					return ref(t, w.secret.ARN)
				},
				Absent: ref(t, "arn:aws:secretsmanager:eu-west-1:"+account+":secret:absent-AbCdEf"),
				Bad: []string{
					"arn:aws:secretsmanager:eu-west-1:" + account + ":secret:", "arn:aws:secretsmanager:eu-west-1:1234:secret:x", "arn:aws:secretsmanager::" + account + ":secret:x",
					"arn:aws:secretsmanager:eu-west-1:" + account + ":secret:a:b", "arn:aws:secretsmanager:eu-west-1:" + account + ":secret:a?b", "arn:aws:iam::" + account + ":role/x", "arn:x",
					"arn:aws-cn:secretsmanager:eu-west-1:" + account + ":secret:x", "arn:aws:secretsmanager:cn-north-1:" + account + ":secret:x", "arn:evil:secretsmanager:eu-west-1:" + account + ":secret:x",
					"arn:aws:secretsmanager:eu-west-1.evil.com:" + account + ":secret:x", "arn:aws:secretsmanager:eu-west-1/x:" + account + ":secret:x", "arn:aws:secretsmanager:EU-WEST-1:" + account + ":secret:x",
					"arn:aws:secretsmanager:eu-west-1:" + account + ":secret:" + strings.Repeat("x", 520),
				},
			})
		})
	}
}

// The ARN's own region and partition are asked, by a full ARN and one without its six characters.
func TestA11ARN(t *testing.T) {
	amazontest.Environment(t, "AWS_REGION=us-west-2")
	for _, test := range []struct{ partition, region, host string }{
		{"aws", "eu-central-1", "secretsmanager.eu-central-1.amazonaws.com"}, {"aws-us-gov", "us-gov-west-1", "secretsmanager.us-gov-west-1.amazonaws.com"},
		{"aws-cn", "cn-northwest-1", "secretsmanager.cn-northwest-1.amazonaws.com.cn"}, {"aws-eusc", "eusc-de-east-1", "secretsmanager.eusc-de-east-1.amazonaws.eu"},
		{"aws-iso-b", "us-isob-east-1", "secretsmanager.us-isob-east-1.sc2s.sgov.gov"},
	} {
		c := amazontest.New()
		c.SetInstance(&amazontest.Instance{Role: c.Role(test.partition, account, "node", amazontest.Trust{}).Allow("*", "*")})
		kept := c.Secret(test.partition, test.region, account, "team/registry")
		kept.Put([]byte("hunter2"))
		s := New(amazon.New(amazon.Config{Transport: c.Transport()}))
		for _, text := range []string{kept.ARN, kept.ARN[:len(kept.ARN)-7]} {
			if v, err := s.Get(t.Context(), ref(t, text)); err != nil || string(v.Reveal()) != "hunter2" || c.Last("secretsmanager:GetSecretValue").Host != test.host {
				t.Errorf("%s: %v from %s", text, err, c.Last("secretsmanager:GetSecretValue").Host)
			}
		}
	}
}

func TestP13Rotation(t *testing.T) {
	w := newWorld(t)
	r := ref(t, w.secret.ARN)
	w.secret.Put([]byte("first"))
	if v, err := w.Previous(t.Context(), r); !errors.Is(err, secret.ErrNotFound) || !v.Empty() {
		t.Errorf("before the first rotation: %v", err)
	}
	w.secret.Put([]byte("second"))
	for want, get := range map[string]func(context.Context, secret.Ref) (secret.Value, error){"second": w.Get, "first": w.Previous} {
		if v, err := get(t.Context(), r); err != nil || string(v.Reveal()) != want {
			t.Errorf("want %s: %v", want, err)
		}
	}
	mux := secret.Mux{Scheme: w.Source}
	if v, err := mux.Previous(t.Context(), r); err != nil || !bytes.Equal(v.Reveal(), []byte("first")) {
		t.Errorf("through the mux: %v", err)
	}
}

// What is refused or does not come is told with its cause, and without a byte of any secret.
func TestRefused(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:" + account + ":key/1"
	for name, test := range map[string]struct {
		broken     func(world) string
		kind       error
		text, hint string
	}{
		"A8 the role may not": {func(w world) string { w.role.Deny(); return w.secret.ARN }, secret.ErrNotAllowed, "assumed-role/cluster_node_role", "allows secretsmanager:GetSecretValue on arn:aws:"},
		"A9 another account": {func(w world) string {
			other := w.Secret("aws", "eu-west-1", "999999999999", "theirs")
			other.Put([]byte("hunter2"))
			return other.ARN
		}, secret.ErrNotAllowed, "AccessDenied", "resource policy"},
		"KMS":                 {func(w world) string { w.secret.Encrypt(key, false); return w.secret.ARN }, secret.ErrNotAllowed, "KMS", "kms:Decrypt"},
		"KMS key off":         {func(w world) string { w.secret.Encrypt(key, true); return w.secret.ARN }, secret.ErrNotAllowed, "DecryptionFailure", "whether the key is enabled"},
		"marked for deletion": {func(w world) string { w.secret.Delete(); return w.secret.ARN }, secret.ErrNotFound, "marked for deletion", "restore-secret"},
		"wrong region":        {func(w world) string { return strings.Replace(w.secret.ARN, "eu-west-1", "eu-central-1", 1) }, secret.ErrNotFound, "ResourceNotFound", "region"},
		"part of a name":      {func(w world) string { return w.secret.ARN[:len(w.secret.ARN)-9] }, secret.ErrNotFound, "ResourceNotFound", "six characters at its end it is found"},
		"no identity":         {func(w world) string { w.SetInstance(nil); return w.secret.ARN }, secret.ErrNotAllowed, "no credentials for Amazon", "identity"},
		"session ended": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Status: 400, Code: "ExpiredTokenException", Message: "The security token included in the request is expired"})
			return w.secret.ARN
		}, secret.ErrNotAllowed, "ExpiredToken", "run out"},
		"throttled": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Throttle: true})
			return w.secret.ARN
		}, secret.ErrUnreachable, "throttled", "again"},
		"broken": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Status: 500, Code: "InternalServiceError", Message: "x"})
			return w.secret.ARN
		}, secret.ErrUnreachable, "does not work now", "again"},
		"broken off": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Drop: true})
			return w.secret.ARN
		}, secret.ErrUnreachable, "broke", "network admin"},
		"garbled": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Garble: true})
			return w.secret.ARN
		}, secret.ErrUnreachable, "not what Amazon sends", "proxy"},
		"without an end": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Huge: true})
			return w.secret.ARN
		}, secret.ErrUnreachable, "too long", ""},
		"never": {func(w world) string {
			w.On("secretsmanager:GetSecretValue", amazontest.Fault{Delay: time.Hour})
			return w.secret.ARN
		}, secret.ErrUnreachable, "in time", "network admin"},
		"no such region": {func(w world) string { return strings.Replace(w.secret.ARN, "eu-west-1", "eu-nowhere-9", 1) }, secret.ErrUnreachable, "secretsmanager.eu-nowhere-9.amazonaws.com", "no region"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.secret.Put([]byte(`{"username":"ci","password":"hunter2"}`))
			synctest.Test(t, func(t *testing.T) {
				w := world{w.Cloud, w.role, w.secret, New(amazon.New(amazon.Config{Transport: w.Transport()}))}
				began := time.Now()
				v, err := w.Get(t.Context(), ref(t, test.broken(w)))
				if !errors.Is(err, test.kind) || !v.Empty() || !strings.Contains(err.Error(), test.text) || !strings.Contains(secret.HintOf(err), test.hint) || secret.HintOf(err) == "" {
					t.Errorf("%v\n%s", err, secret.HintOf(err))
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				text := fmt.Sprintf("%v %+v %#v %s", err, err, err, secret.HintOf(err))
				for _, s := range append(w.Secrets(), "hunter2") {
					if strings.Contains(text, s) {
						t.Errorf("a secret is in %T", err)
					}
				}
			})
		})
	}
}

// A shared secret of another account is read where both sides allow it.
func TestA9OtherAccount(t *testing.T) {
	w := newWorld(t)
	theirs := w.Secret("aws", "eu-west-1", "999999999999", "theirs")
	theirs.Put([]byte("hunter2"))
	theirs.Share(w.role.ARN)
	theirs.Encrypt("arn:aws:kms:eu-west-1:999999999999:key/1", false)
	w.role.Allow("kms:Decrypt", "arn:aws:kms:eu-west-1:999999999999:key/1")
	if v, err := w.Get(t.Context(), ref(t, theirs.ARN)); err != nil || string(v.Reveal()) != "hunter2" {
		t.Error(err)
	}
}

// A thousand reads at once ask for the identity once.
func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	w.secret.Put([]byte("hunter2"))
	r := ref(t, w.secret.ARN)
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			if _, err := w.Get(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.Count("imds:Token"); n != 1 {
		t.Errorf("%d looks", n)
	}
}

// What is read is printed back, and its host is Amazon's.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"aws:secretsmanager:eu-west-1:123456789012:secret:a/b-AbCdEf", "aws-cn:secretsmanager:cn-north-1:123456789012:secret:x", "aws:secretsmanager:a:1:secret:", ":"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r, err := secret.Parse("arn:" + name)
		if err != nil {
			return
		}
		a, err := parse(r)
		if err != nil {
			if !errors.Is(err, secret.ErrRef) || a != (arn{}) {
				t.Errorf("%v, %v", a, err)
			}
			return
		}
		if a.String() != r.String() || strings.ContainsAny(a.region, "./:@") || a.region == "" {
			t.Errorf("%s is read as %s", r, a)
		}
	})
}
