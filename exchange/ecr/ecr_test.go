package ecr_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/ecr"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/identity/amazontest"
	"pierhead.dev/pierhead/secret"
)

const (
	account = "123456789012"
	ireland = account + ".dkr.ecr.eu-west-1.amazonaws.com"
)

// A world is a node on EC2 whose role may read, and a user with a key who may as well.
type world struct {
	*amazontest.Cloud
	role, user *amazontest.Principal
	key        *amazontest.Key
	*ecr.Exchanger
}

func newWorld(t *testing.T) world {
	t.Helper()
	amazontest.Environment(t)
	c := amazontest.New()
	role := c.Role("aws", account, "cluster_node_role", amazontest.Trust{}).Allow("ecr:GetAuthorizationToken", "*").Allow("ecr:BatchGetImage", "*")
	user := c.User("aws", account, "ci").Allow("ecr:*", "*").Allow("ecr-public:*", "*").Allow("sts:GetServiceBearerToken", "*")
	c.SetInstance(&amazontest.Instance{Role: role})
	return world{c, role, user, c.AccessKey(user), exchanger(c)}
}

func (w world) keys() secret.Value {
	return value(`{"aws_access_key_id": %q, "aws_secret_access_key": %q}`, w.key.ID, w.key.Secret)
}

func value(format string, args ...any) secret.Value {
	return secret.NewValue(fmt.Appendf(nil, format, args...))
}

// takes checks a login against what a registry of Amazon's would say.
func (w world) takes(t *testing.T, c credential.Credential, host, principal string) {
	t.Helper()
	by, expires, ok := w.Password(c.Password())
	if !ok || by != principal || c.Principal() != principal || c.Username() != "AWS" || !c.Expires().Equal(expires) || len(c.Hosts()) != 1 || !c.For(host) {
		t.Errorf("%v of %q: the registry says %q, %v, %v; want %q", c, c.Principal(), by, expires, ok, principal)
	}
}

const nodeARN = "arn:aws:sts::" + account + ":assumed-role/cluster_node_role/i-0123456789abcdef0"

func TestContract(t *testing.T) {
	for name, request := range map[string]func(world) exchange.Request{
		"A14 node identity": func(world) exchange.Request {
			return exchange.Request{Host: ireland, Hosts: []string{ireland}, Identity: true}
		},
		"V4 access key": func(w world) exchange.Request {
			return exchange.Request{Host: ireland, Hosts: []string{ireland}, Secret: w.keys()}
		},
		"I7 user and password": func(w world) exchange.Request {
			return exchange.Request{Host: ireland, Hosts: []string{ireland}, Secret: value(`{"username": %q, "password": %q, "server": %q}`, w.key.ID, w.key.Secret, ireland)}
		},
		"sealed": func(w world) exchange.Request {
			return exchange.Request{Host: ireland, Hosts: []string{ireland}, Sealed: true, Secret: w.keys()}
		},
		"public": func(w world) exchange.Request {
			return exchange.Request{Host: "public.ecr.aws", Hosts: []string{"public.ecr.aws"}, Secret: w.keys()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			exchangetest.Test(t, exchangetest.Subject{Exchanger: w.Exchanger, Good: request(w), Secrets: w.Secrets()})
		})
	}
}

// Every form of host asks the API of its own region, partition and form, with keys of that partition.
func TestHosts(t *testing.T) {
	amazontest.Environment(t, "AWS_REGION=ap-southeast-2")
	for host, want := range map[string]struct{ partition, api string }{
		account + ".dkr.ecr.us-east-1.amazonaws.com":                {"aws", "api.ecr.us-east-1.amazonaws.com"},
		account + ".dkr.ecr-fips.us-east-1.amazonaws.com":           {"aws", "api.ecr-fips.us-east-1.amazonaws.com"},
		account + ".dkr-ecr.us-east-1.on.aws":                       {"aws", "ecr.us-east-1.api.aws"},
		account + ".dkr-ecr-fips.us-west-2.on.aws":                  {"aws", "ecr-fips.us-west-2.api.aws"},
		account + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com":       {"aws-us-gov", "api.ecr-fips.us-gov-west-1.amazonaws.com"},
		account + ".dkr.ecr.cn-north-1.amazonaws.com.cn":            {"aws-cn", "api.ecr.cn-north-1.amazonaws.com.cn"},
		account + ".dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": {"aws-cn", "ecr.cn-north-1.api.amazonwebservices.com.cn"},
		account + ".dkr.ecr.eusc-de-east-1.amazonaws.eu":            {"aws-eusc", "api.ecr.eusc-de-east-1.amazonaws.eu"},
		account + ".dkr.ecr.us-iso-east-1.c2s.ic.gov":               {"aws-iso", "api.ecr.us-iso-east-1.c2s.ic.gov"},
		account + ".dkr.ecr.us-isob-east-1.sc2s.sgov.gov":           {"aws-iso-b", "api.ecr.us-isob-east-1.sc2s.sgov.gov"},
		account + ".dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":          {"aws-iso-e", "api.ecr.eu-isoe-west-1.cloud.adc-e.uk"},
		account + ".dkr.ecr.us-isof-south-1.csp.hci.ic.gov":         {"aws-iso-f", "api.ecr.us-isof-south-1.csp.hci.ic.gov"},
		"public.ecr.aws":     {"aws", "api.ecr-public.us-east-1.amazonaws.com"},
		"ecr-public.aws.com": {"aws", "ecr-public.us-east-1.api.aws"},
	} {
		c := amazontest.New()
		user := c.User(want.partition, account, "ci").Allow("*", "*")
		k := c.AccessKey(user)
		w := world{Cloud: c, Exchanger: exchanger(c)}
		keys := value(`{"AccessKeyId": %q, "SecretAccessKey": %q}`, k.ID, k.Secret)
		login, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: keys})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		w.takes(t, login, host, user.ARN)
		operation := "ecr:GetAuthorizationToken"
		if strings.Contains(host, "public") {
			operation = "ecr-public:GetAuthorizationToken"
		}
		if got := c.Last(operation).Host; got != want.api {
			t.Errorf("%s: asked %s, want %s", host, got, want.api)
		}
	}
}

// What is no host of Amazon's gets nothing, and nobody is asked.
func TestP18OtherHosts(t *testing.T) {
	w := newWorld(t)
	for _, host := range []string{
		account + ".dkr.ecr.cn-north-1.amazonaws.com", account + ".dkr.ecr.us-east-1.amazonaws.com.cn", account + ".dkr.ecr.us-east-1.amazonaws.eu", account + ".dkr.ecr.us-gov-west-1.c2s.ic.gov",
		ireland + ".evil.com", ireland + ":443", "ghcr.io", "",
	} {
		for _, r := range []exchange.Request{{Host: host, Identity: true}, {Host: host, Secret: w.keys()}} {
			if c, err := w.Exchange(t.Context(), r); !errors.Is(err, exchange.ErrHostMismatch) || !c.Empty() {
				t.Errorf("%q: %v, %v", host, c, err)
			}
			r.Repository = "app"
			if err := w.CreateRepository(t.Context(), r); !errors.Is(err, exchange.ErrHostMismatch) {
				t.Errorf("%q: %v", host, err)
			}
		}
	}
	if n := w.Count("imds:Token") + w.Count("ecr:GetAuthorizationToken") + w.Count("sts:GetCallerIdentity"); n > 0 {
		t.Errorf("%d calls", n)
	}
}

// One call serves a thousand who ask at once, for many hosts and registries of one region.
func TestP5OneCall(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for i := range 1000 {
		group.Go(func() {
			host := fmt.Sprintf("%012d.dkr.ecr.eu-west-1.amazonaws.com", i%50)
			c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Repository: fmt.Sprint("app", i), Identity: true})
			if err != nil {
				t.Error(err)
				return
			}
			w.takes(t, c, host, nodeARN)
		})
	}
	group.Wait()
	for operation, want := range map[string]int{"ecr:GetAuthorizationToken": 1, "imds:Token": 1, "imds:Credentials": 1, "sts:GetCallerIdentity": 1} {
		if n := w.Count(operation); n != want {
			t.Errorf("%s: %d calls", operation, n)
		}
	}
	for i, r := range []exchange.Request{
		{Host: account + ".dkr.ecr.eu-central-1.amazonaws.com", Identity: true}, {Host: account + ".dkr-ecr.eu-west-1.on.aws", Identity: true}, {Host: ireland, Secret: w.keys()},
	} {
		if _, err := w.Exchange(t.Context(), r); err != nil || w.Count("ecr:GetAuthorizationToken") != i+2 {
			t.Errorf("%s: %v, %d calls", r.Host, err, w.Count("ecr:GetAuthorizationToken"))
		}
	}
}

// A login is for the host that was asked about, and no other of the registry's.
func TestOneHost(t *testing.T) {
	w := newWorld(t)
	hosts := []string{ireland, "999999999999.dkr.ecr.eu-west-1.amazonaws.com"}
	for _, host := range hosts {
		c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Hosts: hosts, Identity: true})
		if err != nil {
			t.Fatal(err)
		}
		w.takes(t, c, host, nodeARN)
	}
}

// Two keys on one host are two logins.
func TestP6TwoIdentities(t *testing.T) {
	w := newWorld(t)
	other := w.User("aws", "999999999999", "other").Allow("ecr:*", "*")
	k := w.AccessKey(other)
	for range 2 {
		for principal, keys := range map[string]secret.Value{w.user.ARN: w.keys(), other.ARN: value(`{"username": %q, "password": %q}`, k.ID, k.Secret)} {
			c, err := w.Exchange(t.Context(), exchange.Request{Host: ireland, Secret: keys})
			if err != nil {
				t.Fatal(err)
			}
			w.takes(t, c, ireland, principal)
		}
	}
	// The same id with another secret is another source: what the right one made is not given out for it.
	if c, err := w.Exchange(t.Context(), exchange.Request{Host: ireland, Secret: value(`{"username": %q, "password": %q}`, w.key.ID, k.Secret)}); !errors.Is(err, exchange.ErrRefused) {
		t.Errorf("%v, %v", c, err)
	}
}

// How long a password is remembered, and for whom.
func TestP3Remembered(t *testing.T) {
	w := newWorld(t)
	node := w.role
	synctest.Test(t, func(t *testing.T) {
		w := world{Cloud: w.Cloud, Exchanger: exchanger(w.Cloud)}
		w.SetInstance(&amazontest.Instance{Role: node, Life: 48 * time.Hour})
		calls := 0
		refused := "" // the password that the registry did not accept
		ask := func(host string, fresh bool, why string) string {
			t.Helper()
			r := exchange.Request{Host: host, Identity: true}
			if refused != "" {
				r.Refused = credential.New("AWS", refused, time.Time{}, []string{host}).ID()
			}
			c, err := w.Exchange(t.Context(), r)
			if err != nil {
				t.Fatalf("%s: %v", why, err)
			}
			if _, _, ok := w.Password(c.Password()); !ok {
				t.Errorf("%s: the password is no longer good", why)
			}
			if fresh {
				calls++
			}
			if n := w.Count("ecr:GetAuthorizationToken"); n != calls {
				t.Errorf("%s: %d calls, want %d", why, n, calls)
				calls = n
			}
			return c.Password()
		}
		host := func(i int) string { return fmt.Sprintf("%012d.dkr.ecr.eu-west-1.amazonaws.com", i) }
		first := ask(host(1), true, "the first")
		ask(host(1), false, "the same host again")
		ask(host(2), false, "another host")
		w.Revoke(first)
		refused = first
		second := ask(host(1), true, "refused at once")
		if second == first || ask(host(1), false, "refused by another of its requests") != second || ask(host(2), false, "refused at the other host") != second {
			t.Error("what was refused is given out again")
		}
		refused = second
		for range 5 {
			ask(host(1), false, "the new one is refused too")
		}
		time.Sleep(30 * time.Second)
		third := ask(host(1), true, "and again, half a minute later")
		refused = ""
		if ask(host(3), false, "a new host") != third {
			t.Error("what was refused is given to others")
		}
		time.Sleep(4 * time.Hour) // the instance's session goes on
		ask(host(4), false, "within half of its life")
		time.Sleep(2*time.Hour + time.Minute)
		ask(host(5), true, "past half of its life")
	})
}

// With other credentials of the identity another password is due: the old one may die with its session.
func TestSourceChanges(t *testing.T) {
	w := newWorld(t)
	r := exchange.Request{Host: ireland, Identity: true}
	before, err := w.Exchange(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	w.EndSession()
	r.Host = account + ".dkr.ecr.eu-central-1.amazonaws.com" // the refusal there renews the identity's credentials
	if _, err := w.Exchange(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Host = "999999999999.dkr.ecr.eu-west-1.amazonaws.com"
	after, err := w.Exchange(t.Context(), r)
	if err != nil || after.Password() == before.Password() {
		t.Errorf("the password of a session that ended is given out: %v", err)
	}
}

func TestAssumeRole(t *testing.T) {
	w := newWorld(t)
	puller := w.Role("aws", "999999999999", "puller", amazontest.Trust{Principals: []string{w.role.ARN, w.user.ARN}, ExternalID: "acme-7"}).Allow("ecr:GetAuthorizationToken", "*")
	w.role.Allow("sts:AssumeRole", puller.ARN)
	w.user.Allow("sts:AssumeRole", puller.ARN)
	const host = "999999999999.dkr.ecr.cn-north-1.amazonaws.com.cn"
	for name, r := range map[string]exchange.Request{"over the node's identity": {Identity: true}, "over a key": {Secret: w.keys()}} {
		r.Host, r.AssumeRole, r.ExternalID = "999999999999.dkr.ecr.us-east-2.amazonaws.com", puller.ARN, "acme-7"
		c, err := w.Exchange(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.takes(t, c, r.Host, "arn:aws:sts::999999999999:assumed-role/puller/pierhead-node-1")
		if call := w.Last("sts:AssumeRole"); call.Host != "sts.us-east-2.amazonaws.com" || call.Session != "pierhead-node-1" {
			t.Errorf("%s: %+v", name, call)
		}
		r.ExternalID = "acme-8"
		_, err = w.Exchange(t.Context(), r)
		if !errors.Is(err, exchange.ErrRefused) || !strings.Contains(exchange.HintOf(err), "external") {
			t.Errorf("%s, wrong external id: %v", name, err)
		}
		exchangetest.Silent(t, err, w.Secrets()...)
		r.Host = host
		if _, err = w.Exchange(t.Context(), r); !errors.Is(err, exchange.ErrRefused) || !strings.Contains(err.Error(), "aws-cn") {
			t.Errorf("%s, another partition: %v", name, err)
		}
	}
}

// Each refusal is told with what was asked of whom, and whose turn it is; none is remembered.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		broken     func(world) exchange.Request
		kind       error
		text, hint string
	}{
		"A14 no permission": {func(w world) exchange.Request {
			w.role.Deny()
			return exchange.Request{Host: ireland, Identity: true}
		}, exchange.ErrRefused, nodeARN + " is not authorized to perform: ecr:GetAuthorizationToken", "AmazonEC2ContainerRegistryReadOnly"},
		"A15 given in a repository's policy": {func(w world) exchange.Request {
			w.role.Deny()
			w.Repository("arn:aws:ecr:eu-west-1:"+account+":repository/app", w.role.ARN)
			return exchange.Request{Host: ireland, Identity: true}
		}, exchange.ErrRefused, "AccessDeniedException", "a repository's policy cannot give that"},
		"public": {func(w world) exchange.Request {
			return exchange.Request{Host: "public.ecr.aws", Identity: true}
		}, exchange.ErrRefused, "ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"},
		"wrong secret": {func(w world) exchange.Request {
			return exchange.Request{Host: ireland, Secret: value(`{"username": %q, "password": %q}`, w.key.ID, strings.Repeat("x", 40))}
		}, exchange.ErrRefused, "InvalidSignatureException", "do not belong together"},
		"unknown key": {func(w world) exchange.Request {
			return exchange.Request{Host: ireland, Secret: value(`{"username": "AKIAIOSFODNN7EXAMPLE", "password": %q}`, w.key.Secret)}
		}, exchange.ErrRefused, "UnrecognizedClientException", "the access key in the secret is not known in partition aws: it was deleted or switched off"},
		"deleted key": {func(w world) exchange.Request {
			w.End(w.key)
			return exchange.Request{Host: ireland, Secret: w.keys()}
		}, exchange.ErrRefused, "UnrecognizedClientException", "deleted or switched off"},
		"key of another partition": {func(w world) exchange.Request {
			return exchange.Request{Host: account + ".dkr.ecr.cn-north-1.amazonaws.com.cn", Secret: w.keys()}
		}, exchange.ErrRefused, "api.ecr.cn-north-1.amazonaws.com.cn", "not known in partition aws-cn"},
		"session that ran out": {func(w world) exchange.Request {
			k := w.Session(w.role, "x", -time.Minute)
			return exchange.Request{Host: ireland, Secret: value(`{"Credentials": {"AccessKeyId": %q, "SecretAccessKey": %q, "SessionToken": %q, "Expiration": "2026-01-01T00:00:00Z"}}`, k.ID, k.Secret, k.Token)}
		}, exchange.ErrRefused, "ExpiredTokenException", "permanent access key"},
		"no identity": {func(w world) exchange.Request {
			w.SetInstance(nil)
			return exchange.Request{Host: ireland, Identity: true}
		}, exchange.ErrNoIdentity, "no metadata service", "gives this node an identity"},
		"unknown region": {func(w world) exchange.Request {
			return exchange.Request{Host: account + ".dkr.ecr.eu-nowhere-9.amazonaws.com", Secret: w.keys()}
		}, exchange.ErrUnreachable, "api.ecr.eu-nowhere-9.amazonaws.com", "eu-nowhere-9"},
		"throttled": {func(w world) exchange.Request {
			w.On("ecr:GetAuthorizationToken", amazontest.Fault{Throttle: true})
			return exchange.Request{Host: ireland, Secret: w.keys()}
		}, exchange.ErrUnreachable, "throttled", "try again"},
		"garbled": {func(w world) exchange.Request {
			w.On("ecr:GetAuthorizationToken", amazontest.Fault{Garble: true})
			return exchange.Request{Host: ireland, Secret: w.keys()}
		}, exchange.ErrUnreachable, "not what Amazon sends", "proxy"},
		"neither": {func(w world) exchange.Request { return exchange.Request{Host: ireland} }, exchange.ErrContent, "neither", "identity: node"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			synctest.Test(t, func(t *testing.T) {
				w := world{Cloud: w.Cloud, role: w.role, user: w.user, key: w.key, Exchanger: exchanger(w.Cloud)}
				r := test.broken(w)
				for range 2 {
					c, err := w.Exchange(t.Context(), r)
					if !errors.Is(err, test.kind) || !c.Empty() || !strings.Contains(err.Error(), test.text) || !strings.Contains(exchange.HintOf(err), test.hint) {
						t.Errorf("%v\n%s", err, exchange.HintOf(err))
					}
					exchangetest.Silent(t, err, append(w.Secrets(), w.key.ID, "AKIAIOSFODNN7EXAMPLE")...)
				}
				if n := w.Count("ecr:GetAuthorizationToken"); strings.HasPrefix(name, "A1") && n != 2 {
					t.Errorf("%d calls: the refusal is remembered", n)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestCreateRepository(t *testing.T) {
	w := newWorld(t)
	r := exchange.Request{Host: ireland, Repository: "team/app", Secret: w.keys(), Push: true}
	for range 2 { // the second time it is there already
		if err := w.CreateRepository(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if !w.HasRepository("arn:aws:ecr:eu-west-1:" + account + ":repository/team/app") {
		t.Error("it is not there")
	}
	refuse := func(what string, r exchange.Request, kind error, text, hint string) {
		t.Helper()
		err := w.CreateRepository(t.Context(), r)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) || !strings.Contains(exchange.HintOf(err), hint) {
			t.Errorf("%s: %v\n%s", what, err, exchange.HintOf(err))
		}
		exchangetest.Silent(t, err, w.Secrets()...)
	}
	r.Repository, r.Secret, r.Identity = "team/new", secret.Value{}, true
	refuse("I9 no permission", r, exchange.ErrRefused, "ecr:CreateRepository", "allows ecr:CreateRepository on arn:aws:ecr:eu-west-1:"+account+":repository/team/new to "+nodeARN)
	r = exchange.Request{Host: "999999999999.dkr.ecr.eu-west-1.amazonaws.com", Repository: "team/app", Secret: w.keys()}
	refuse("another account", r, exchange.ErrRefused, "999999999999", "arn:aws:ecr:eu-west-1:999999999999:repository/team/app")
	r = exchange.Request{Host: ireland, Repository: "a", Secret: w.keys()}
	refuse("a name of one letter", r, exchange.ErrRefused, "InvalidParameterException", "2 to 256")
	refuse("no name", exchange.Request{Host: ireland, Secret: w.keys()}, exchange.ErrContent, ireland, "")
	refuse("public", exchange.Request{Host: "public.ecr.aws", Repository: "x/y", Secret: w.keys()}, exchange.ErrRefused, "ECR Public", "create-repository")
	w.On("ecr:CreateRepository", amazontest.Fault{Status: 400, Code: "LimitExceededException", Message: "The repository quota is reached"})
	refuse("quota", exchange.Request{Host: ireland, Repository: "team/more", Secret: w.keys()}, exchange.ErrRefused, "quota", "quota")
}

func exchanger(c *amazontest.Cloud) *ecr.Exchanger {
	return ecr.New(amazon.New(amazon.Config{Node: "node-1", Transport: c.Transport()}))
}
