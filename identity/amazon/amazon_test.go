package amazon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/identity/amazontest"
	"pierhead.dev/pierhead/secret"
)

const account = "123456789012"

var ireland = amazon.Place{Region: "eu-west-1"}

// whoami asks STS who the source is.
func whoami(ctx context.Context, i *amazon.Identity, s amazon.Source, p amazon.Place) (string, error) {
	return amazon.Ask(ctx, i, s, p, func(ctx context.Context, c aws.Config) (string, error) {
		out, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Arn), nil
	})
}

// silent checks that no secret that the cloud ever made is in an error.
func silent(t *testing.T, c *amazontest.Cloud, err error) {
	t.Helper()
	var told *amazon.Error
	if !errors.As(err, &told) {
		t.Errorf("%T is no error of this room: %v", err, err)
		return
	}
	if told.Hint == "" || len(told.Text) > 700 || strings.ContainsAny(told.Text, "\n\x00") {
		t.Errorf("not for people: %q, hint %q", told.Text, told.Hint)
	}
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, told.Hint)
	for _, s := range c.Secrets() {
		if strings.Contains(text, s) {
			t.Errorf("a secret is in %T", err)
		}
	}
}

func keysOf(k *amazontest.Key) *amazon.Keys {
	return &amazon.Keys{ID: k.ID, Secret: secret.NewValue([]byte(k.Secret)), Token: secret.NewValue([]byte(k.Token))}
}

func node(c *amazontest.Cloud) *amazontest.Principal {
	return c.Role("aws", account, "cluster_node_role", amazontest.Trust{})
}

// Off the cloud it is known within two seconds that there is no identity, once for all who ask, and for a minute.
func TestNoIdentity(t *testing.T) {
	for name, test := range map[string]struct {
		instance *amazontest.Instance
		text     string
	}{
		"no route": {nil, "is reached"}, "packets vanish": {&amazontest.Instance{Silent: true}, "is reached"}, "another cloud": {&amazontest.Instance{Foreign: true}, "403"},
		"switched off": {&amazontest.Instance{Off: true}, "403"}, "no role": {&amazontest.Instance{}, "has no role"}, "behind a bridge": {&amazontest.Instance{Distance: 2}, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			amazontest.Environment(t)
			synctest.Test(t, func(t *testing.T) {
				c := amazontest.New()
				c.SetInstance(test.instance)
				i := amazon.New(amazon.Config{Transport: c.Transport()})
				began := time.Now()
				var group sync.WaitGroup
				for range 1000 {
					group.Go(func() {
						_, err := whoami(t.Context(), i, amazon.Source{}, ireland)
						if !errors.Is(err, amazon.ErrNone) {
							t.Errorf("%v", err)
							return
						}
						silent(t, c, err)
					})
				}
				group.Wait()
				if took := time.Since(began); took > 2*time.Second+100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				asked := c.Count("imds:Token")
				if asked > 3 {
					t.Errorf("%d requests for all of them", asked)
				}
				_, err := whoami(t.Context(), i, amazon.Source{}, ireland)
				if !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v", err)
				}
				if c.Count("imds:Token") != asked {
					t.Error("it was looked for again")
				}
				c.SetInstance(&amazontest.Instance{Role: node(c)})
				time.Sleep(59 * time.Second)
				if _, err := whoami(t.Context(), i, amazon.Source{}, ireland); !errors.Is(err, amazon.ErrNone) {
					t.Errorf("before the minute is over: %v", err)
				}
				time.Sleep(3 * time.Second)
				if arn, err := whoami(t.Context(), i, amazon.Source{}, ireland); err != nil || !strings.Contains(arn, "cluster_node_role") {
					t.Errorf("after the minute: %s, %v", arn, err)
				}
			})
		})
	}
}

// IMDSv1 is never asked: not where it would answer, and not where IMDSv2 does not.
func TestIMDSv2Only(t *testing.T) {
	for _, status := range []int{400, 403, 404, 405} {
		amazontest.Environment(t)
		synctest.Test(t, func(t *testing.T) {
			c := amazontest.New()
			c.SetInstance(&amazontest.Instance{Role: node(c), V1: true})
			c.On("imds:Token", amazontest.Fault{Status: status, Code: "x", Message: "no"})
			_, err := whoami(t.Context(), amazon.New(amazon.Config{Transport: c.Transport()}), amazon.Source{}, ireland)
			if !errors.Is(err, amazon.ErrNone) || c.Count("imds:Roles") > 0 || c.Count("imds:WithoutToken") > 0 {
				t.Errorf("%d: %v, %d requests", status, err, c.Count("imds:Roles"))
			}
			silent(t, c, err)
		})
	}
}

func TestIMDSTrouble(t *testing.T) {
	amazontest.Environment(t)
	for text, fault := range map[string]amazontest.Fault{"429": {Status: 429, Code: "x"}, "503": {Status: 503, Code: "x"}, "too long": {Huge: true}} {
		synctest.Test(t, func(t *testing.T) {
			c := amazontest.New()
			c.SetInstance(&amazontest.Instance{Role: node(c)})
			c.On("imds:Credentials", fault)
			i := amazon.New(amazon.Config{Transport: c.Transport()})
			_, err := whoami(t.Context(), i, amazon.Source{}, ireland)
			if !errors.Is(err, amazon.ErrUnreachable) || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v", text, err)
			}
			silent(t, c, err)
			c.On("imds:Credentials", amazontest.Fault{})
			if _, err := whoami(t.Context(), i, amazon.Source{}, ireland); err != nil {
				t.Errorf("%s is remembered: %v", text, err)
			}
		})
	}
}

// Every link of the chain gives the identity that it should.
func TestChain(t *testing.T) {
	const issuer, subject = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123", "system:serviceaccount:pierhead:agent"
	for name, set := range map[string]func(c *amazontest.Cloud, i *amazontest.Issuer, dir string) (want string, environment []string){
		"instance role behind a bridge": func(c *amazontest.Cloud, _ *amazontest.Issuer, _ string) (string, []string) {
			c.SetInstance(&amazontest.Instance{Role: node(c), Distance: 2, Hops: 2})
			return "arn:aws:sts::" + account + ":assumed-role/cluster_node_role/i-0123456789abcdef0", nil
		},
		"environment": func(c *amazontest.Cloud, _ *amazontest.Issuer, _ string) (string, []string) {
			k := c.AccessKey(c.User("aws", account, "ci"))
			return "arn:aws:iam::" + account + ":user/ci", []string{"AWS_ACCESS_KEY_ID=" + k.ID, "AWS_SECRET_ACCESS_KEY=" + k.Secret, "AWS_REGION=us-east-1"}
		},
		"web identity": func(c *amazontest.Cloud, i *amazontest.Issuer, dir string) (string, []string) {
			r := c.Role("aws", account, "irsa", amazontest.Trust{Issuer: issuer, Audience: "sts.amazonaws.com", Subject: subject})
			return "arn:aws:sts::" + account + ":assumed-role/irsa/pierhead-gpu-7", []string{"AWS_ROLE_ARN=" + r.ARN, "AWS_WEB_IDENTITY_TOKEN_FILE=" + write(dir, i.Token("sts.amazonaws.com", subject, time.Hour))}
		},
		"profile with a role": func(c *amazontest.Cloud, _ *amazontest.Issuer, dir string) (string, []string) {
			k := c.AccessKey(c.User("aws", account, "ci"))
			r := c.Role("aws", account, "puller", amazontest.Trust{Principals: []string{"arn:aws:iam::" + account + ":user/ci"}, ExternalID: "e-1"})
			file := write(dir, fmt.Sprintf("[profile base]\naws_access_key_id=%s\naws_secret_access_key=%s\n[profile pull]\nrole_arn=%s\nexternal_id=e-1\nsource_profile=base\nregion=us-east-2\n", k.ID, k.Secret, r.ARN))
			return "arn:aws:sts::" + account + ":assumed-role/puller/pierhead-gpu-7", []string{"AWS_CONFIG_FILE=" + file, "AWS_PROFILE=pull"}
		},
		"ECS task": func(c *amazontest.Cloud, _ *amazontest.Issuer, _ string) (string, []string) {
			uri := c.Task(c.Role("aws", account, "task", amazontest.Trust{}))
			return "arn:aws:sts::" + account + ":assumed-role/task/0123456789abcdef0123456789abcdef", []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=" + uri}
		},
		"EKS Pod Identity": func(c *amazontest.Cloud, i *amazontest.Issuer, dir string) (string, []string) {
			c.Associate(i, subject, c.Role("aws", account, "pod", amazontest.Trust{}))
			return "arn:aws:sts::" + account + ":assumed-role/pod/eks-cluster-pod", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials",
				"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + write(dir, i.Token(amazontest.PodAudience, subject, time.Hour))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := amazontest.New()
			want, environment := set(c, c.NewIssuer(issuer), t.TempDir())
			amazontest.Environment(t, environment...)
			i := amazon.New(amazon.Config{Node: "gpu 7", Transport: c.Transport()})
			if arn, err := whoami(t.Context(), i, amazon.Source{}, ireland); arn != want {
				t.Errorf("%s, %v; want %s", arn, err, want)
			}
			if name := i.Principal(t.Context(), amazon.Source{}, ireland); name != want {
				t.Errorf("principal %s", name)
			}
			calls := c.Count("sts:GetCallerIdentity")
			if i.Principal(t.Context(), amazon.Source{}, ireland); c.Count("sts:GetCallerIdentity") != calls {
				t.Error("the principal is not remembered")
			}
		})
	}
}

func write(dir, text string) string {
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return name
}

// What is wrong with the operator's configuration is said so, and nothing of what is in it.
func TestBadConfiguration(t *testing.T) {
	const issuer, subject = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123", "system:serviceaccount:pierhead:agent"
	type world struct {
		*amazontest.Cloud
		issuer *amazontest.Issuer
		key    *amazontest.Key
		dir    string
	}
	web := func(w world, token string) []string {
		r := w.Role("aws", account, "irsa", amazontest.Trust{Issuer: issuer, Audience: "sts.amazonaws.com", Subject: subject})
		return []string{"AWS_ROLE_ARN=" + r.ARN, "AWS_WEB_IDENTITY_TOKEN_FILE=" + write(w.dir, token)}
	}
	for name, test := range map[string]struct {
		environment func(world) []string
		kind        error
		text        string
	}{
		"no such profile": {func(world) []string { return []string{"AWS_PROFILE=absent"} }, amazon.ErrNone, `"absent"`},
		"not a file of profiles": {func(w world) []string {
			return []string{"AWS_CONFIG_FILE=" + write(w.dir, "[profile\nx="+w.key.Secret)}
		}, amazon.ErrNone, ""},
		"no token file": {func(w world) []string { return append(web(w, ""), "AWS_WEB_IDENTITY_TOKEN_FILE=/absent/token") }, amazon.ErrNone, "/absent/token"},
		"expired token": {func(w world) []string { return web(w, w.issuer.Token("sts.amazonaws.com", subject, -time.Minute)) }, amazon.ErrRefused, "ExpiredToken"},
		"audience":      {func(w world) []string { return web(w, w.issuer.Token("sigstore", subject, time.Hour)) }, amazon.ErrRefused, "AccessDenied"},
		"another subject": {func(w world) []string {
			return web(w, w.issuer.Token("sts.amazonaws.com", "system:serviceaccount:default:x", time.Hour))
		}, amazon.ErrRefused, "AccessDenied"},
		"another issuer's key": {func(w world) []string {
			return web(w, amazontest.New().NewIssuer(issuer).Token("sts.amazonaws.com", subject, time.Hour))
		}, amazon.ErrRefused, "InvalidIdentityToken"},
		"no task": {func(world) []string { return []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/none"} }, amazon.ErrRefused, "InvalidIdInRequest"},
		"pod of nobody": {func(w world) []string {
			return []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials",
				"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + w.issuer.Token(amazontest.PodAudience, subject, time.Hour)}
		}, amazon.ErrRefused, "ResourceNotFound"},
		"a process that fails": {func(w world) []string {
			return []string{"AWS_CONFIG_FILE=" + write(w.dir, "[default]\ncredential_process = /absent/command "+w.key.Secret+"\n")}
		}, amazon.ErrNone, "cannot be had"},
		"an SSO session that is not there": {func(w world) []string {
			return []string{"AWS_CONFIG_FILE=" + write(w.dir, "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://x.example.com\n")}
		}, amazon.ErrNone, "cannot be had"},
		"mfa": {func(w world) []string {
			return []string{"AWS_CONFIG_FILE=" + write(w.dir, "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nmfa_serial = arn:aws:iam::123456789012:mfa/p\nsource_profile = b\n[profile b]\naws_access_key_id = "+w.key.ID+"\naws_secret_access_key = "+w.key.Secret+"\n")}
		}, amazon.ErrNone, "mfa_serial"},
		"metadata off": {func(world) []string { return []string{"AWS_EC2_METADATA_DISABLED=true"} }, amazon.ErrNone, "AWS_EC2_METADATA_DISABLED"},
		"wrong secret": {func(w world) []string {
			return []string{"AWS_ACCESS_KEY_ID=" + w.key.ID, "AWS_SECRET_ACCESS_KEY=" + w.key.Secret[1:]}
		}, amazon.ErrRefused, "SignatureDoesNotMatch"},
		"unknown key": {func(w world) []string {
			return []string{"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=" + w.key.Secret}
		}, amazon.ErrRefused, "InvalidClientTokenId"},
	} {
		t.Run(name, func(t *testing.T) {
			amazontest.Environment(t)
			synctest.Test(t, func(t *testing.T) {
				c := amazontest.New()
				w := world{c, c.NewIssuer(issuer), c.AccessKey(c.User("aws", account, "ci")), t.TempDir()}
				for _, pair := range test.environment(w) {
					name, value, _ := strings.Cut(pair, "=")
					t.Setenv(name, value)
				}
				_, err := whoami(t.Context(), amazon.New(amazon.Config{Transport: c.Transport()}), amazon.Source{}, ireland)
				if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v; want %v with %s", err, test.kind, test.text)
				}
				silent(t, c, err)
			})
		})
	}
}
