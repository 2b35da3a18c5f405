package amazon_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/identity/amazontest"
)

// A world has a user with a key, and a role in another account that the user may assume with an external ID.
type world struct {
	*amazontest.Cloud
	user *amazontest.Principal
	key  *amazontest.Key
	role *amazontest.Principal
}

func newWorld() world {
	c := amazontest.New()
	user := c.User("aws", account, "ci")
	role := c.Role("aws", "999999999999", "puller", amazontest.Trust{Principals: []string{user.ARN}, ExternalID: "acme-7"})
	user.Allow("sts:AssumeRole", role.ARN)
	return world{c, user, c.AccessKey(user), role}
}

func (w world) identity() *amazon.Identity {
	return amazon.New(amazon.Config{Node: strings.Repeat("node/", 20), Transport: w.Transport()})
}

func (w world) source() amazon.Source { return amazon.Source{Keys: keysOf(w.key)} }

func (w world) assuming() amazon.Source {
	return amazon.Source{Keys: keysOf(w.key), Role: w.role.ARN, ExternalID: "acme-7"}
}

func TestAssumeRole(t *testing.T) {
	amazontest.Environment(t)
	w := newWorld()
	i := w.identity()
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			if arn, err := whoami(t.Context(), i, w.assuming(), ireland); err != nil || !strings.HasPrefix(arn, "arn:aws:sts::999999999999:assumed-role/puller/pierhead-node-node-") {
				t.Errorf("%s, %v", arn, err)
			}
		})
	}
	group.Wait()
	if n := w.Count("sts:AssumeRole"); n != 1 {
		t.Errorf("%d sessions for one role", n)
	}
	if call := w.Last("sts:AssumeRole"); call.Host != "sts.eu-west-1.amazonaws.com" || len(call.Session) > 64 {
		t.Errorf("%+v", call)
	}
	for name, s := range map[string]amazon.Source{
		"wrong external id":    {Keys: keysOf(w.key), Role: w.role.ARN, ExternalID: "acme-8"},
		"no external id":       {Keys: keysOf(w.key), Role: w.role.ARN},
		"no such role":         {Keys: keysOf(w.key), Role: w.role.ARN + "s", ExternalID: "acme-7"},
		"another user":         {Keys: keysOf(w.AccessKey(w.User("aws", account, "eve"))), Role: w.role.ARN, ExternalID: "acme-7"},
		"another partition":    {Keys: keysOf(w.key), Role: strings.Replace(w.role.ARN, "aws", "aws-cn", 1)},
		"not an ARN of a role": {Keys: keysOf(w.key), Role: w.user.ARN},
	} {
		_, err := whoami(t.Context(), i, s, ireland)
		if !errors.Is(err, amazon.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		silent(t, w.Cloud, err)
	}
	_, err := whoami(t.Context(), i, amazon.Source{Keys: keysOf(w.key), Role: strings.Replace(w.role.ARN, "aws", "aws-cn", 1)}, ireland)
	if !strings.Contains(err.Error(), "which is in partition aws") {
		t.Errorf("another partition: %v", err)
	}
	w.user.Deny()
	_, err = whoami(t.Context(), w.identity(), w.assuming(), ireland)
	if !errors.Is(err, amazon.ErrRefused) || !strings.Contains(err.Error(), "sts:AssumeRole") || !strings.Contains(err.Error(), w.user.ARN) {
		t.Errorf("without sts:AssumeRole: %v", err)
	}
	silent(t, w.Cloud, err)
}

// Sessions of roles are renewed before they end, and at once when they are refused.
func TestSessionsAreRenewed(t *testing.T) {
	amazontest.Environment(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		i := w.identity()
		for range 5 {
			if _, err := whoami(t.Context(), i, w.assuming(), ireland); err != nil {
				t.Fatal(err)
			}
			time.Sleep(58*time.Minute + 30*time.Second) // within the time before the end in which they are renewed, or past it
			if _, err := whoami(t.Context(), i, w.assuming(), ireland); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.Count("sts:AssumeRole"); n < 3 || n > 6 {
			t.Errorf("%d sessions in five hours", n)
		}
	})
	w := newWorld()
	role := node(w.Cloud)
	w.SetInstance(&amazontest.Instance{Role: role})
	i := w.identity()
	first, err := i.Current(t.Context(), amazon.Source{}, ireland)
	if err != nil {
		t.Fatal(err)
	}
	w.EndSession()
	if _, err := whoami(t.Context(), i, amazon.Source{}, ireland); err != nil {
		t.Errorf("the instance has a new session, and the old one is not given up: %v", err)
	}
	if now, err := i.Current(t.Context(), amazon.Source{}, ireland); err != nil || now == first {
		t.Errorf("Current is the same for other credentials: %v", err)
	}
}

// Every partition, form of end-point and region has its own STS; the process's region is of no consequence.
func TestPlaces(t *testing.T) {
	amazontest.Environment(t, "AWS_REGION=us-west-2")
	for _, test := range []struct {
		place           amazon.Place
		partition, host string
	}{
		{amazon.Place{Region: "eu-central-1"}, "aws", "sts.eu-central-1.amazonaws.com"},
		{amazon.Place{Region: "us-east-1"}, "aws", "sts.us-east-1.amazonaws.com"},
		{amazon.Place{Region: "us-east-2", FIPS: true}, "aws", "sts-fips.us-east-2.amazonaws.com"},
		{amazon.Place{Region: "eu-west-1", DualStack: true}, "aws", "sts.eu-west-1.api.aws"},
		{amazon.Place{Region: "us-gov-west-1", FIPS: true}, "aws-us-gov", "sts.us-gov-west-1.amazonaws.com"},
		{amazon.Place{Region: "cn-north-1"}, "aws-cn", "sts.cn-north-1.amazonaws.com.cn"},
		{amazon.Place{Region: "eusc-de-east-1"}, "aws-eusc", "sts.eusc-de-east-1.amazonaws.eu"},
		{amazon.Place{Region: "us-iso-east-1"}, "aws-iso", "sts.us-iso-east-1.c2s.ic.gov"},
		{amazon.Place{Region: "us-isob-east-1"}, "aws-iso-b", "sts.us-isob-east-1.sc2s.sgov.gov"},
		{amazon.Place{Region: "eu-isoe-west-1"}, "aws-iso-e", "sts.eu-isoe-west-1.cloud.adc-e.uk"},
		{amazon.Place{Region: "us-isof-south-1"}, "aws-iso-f", "sts.us-isof-south-1.csp.hci.ic.gov"},
	} {
		c := amazontest.New()
		user := c.User(test.partition, account, "ci")
		i := amazon.New(amazon.Config{Transport: c.Transport()})
		if arn, err := whoami(t.Context(), i, amazon.Source{Keys: keysOf(c.AccessKey(user))}, test.place); err != nil || arn != user.ARN {
			t.Errorf("%+v: %s, %v", test.place, arn, err)
		}
		if call := c.Last("sts:GetCallerIdentity"); call.Host != test.host || test.place.Partition() != test.partition {
			t.Errorf("%+v: %s in %s, want %s in %s", test.place, call.Host, test.place.Partition(), test.host, test.partition)
		}
		stranger := c.User("aws-nowhere", account, "ci")
		_, err := whoami(t.Context(), i, amazon.Source{Keys: keysOf(c.AccessKey(stranger))}, test.place)
		if !errors.Is(err, amazon.ErrRefused) {
			t.Errorf("%+v takes keys of another partition: %v", test.place, err)
		}
		silent(t, c, err)
	}
}

// Whatever comes instead of an answer is told as what it is, within half a minute, and passes where it may pass.
func TestTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		fault amazontest.Fault
		kind  error
		text  string
		tries int
	}{
		"throttled":          {amazontest.Fault{Throttle: true}, amazon.ErrUnreachable, "throttled", 4},
		"throttled once":     {amazontest.Fault{Throttle: true, Times: 1}, nil, "", 2},
		"broken":             {amazontest.Fault{Status: 503, Code: "ServiceUnavailable", Message: "x"}, amazon.ErrUnreachable, "does not work now", 4},
		"broken off":         {amazontest.Fault{Drop: true}, amazon.ErrUnreachable, "connection broke", 4},
		"broken off twice":   {amazontest.Fault{Drop: true, Times: 2}, nil, "", 3},
		"garbled":            {amazontest.Fault{Garble: true}, amazon.ErrUnreachable, "not what Amazon sends", 1},
		"without an end":     {amazontest.Fault{Huge: true}, amazon.ErrUnreachable, "too long", 1},
		"late":               {amazontest.Fault{Delay: 3 * time.Second}, nil, "", 1},
		"never":              {amazontest.Fault{Delay: time.Hour}, amazon.ErrUnreachable, "in time", 0},
		"region off":         {amazontest.Fault{Status: 403, Code: "RegionDisabledException", Message: "STS is not activated in this region"}, amazon.ErrRefused, "RegionDisabled", 1},
		"control characters": {amazontest.Fault{Status: 403, Code: "AccessDenied", Message: "a\r\nb\x1b[31m" + strings.Repeat("long ", 200)}, amazon.ErrRefused, "a b [31mlong", 1},
	} {
		t.Run(name, func(t *testing.T) {
			amazontest.Environment(t)
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.On("sts:GetCallerIdentity", test.fault)
				began := time.Now()
				_, err := whoami(t.Context(), w.identity(), w.source(), ireland)
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				if n := w.Count("sts:GetCallerIdentity"); test.tries > 0 && n != test.tries {
					t.Errorf("%d tries, want %d", n, test.tries)
				}
				if test.kind == nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), "eu-west-1") {
					t.Errorf("%v", err)
				}
				silent(t, w.Cloud, err)
			})
		})
	}
}

// A clock that is wrong is made up for where Amazon tells the time, and told where that does not help.
func TestClock(t *testing.T) {
	amazontest.Environment(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.SetClock(func() time.Time { return time.Now().Add(-3 * time.Hour) })
		if _, err := whoami(t.Context(), w.identity(), w.source(), ireland); err != nil {
			t.Errorf("three hours ahead: %v", err)
		}
		t.Setenv("AWS_DISABLE_CLOCK_SKEW_CORRECTION", "true")
		_, err := whoami(t.Context(), w.identity(), w.source(), ireland)
		var told *amazon.Error
		if !errors.As(err, &told) || told.Kind != amazon.ErrRefused || !strings.Contains(told.Hint, "clock") || !strings.Contains(told.Hint, "3h0m") {
			t.Errorf("%v, %q", err, told.Hint)
		}
		silent(t, w.Cloud, err)
	})
}

// What Amazon says of a wrong signature has the whole request in it, and is not repeated.
func TestSignatureIsNotTold(t *testing.T) {
	amazontest.Environment(t)
	w := newWorld()
	k := *w.Session(w.user, "x", time.Hour)
	k.Secret = strings.Repeat("x", 40)
	_, err := whoami(t.Context(), w.identity(), amazon.Source{Keys: keysOf(&k)}, ireland)
	if !errors.Is(err, amazon.ErrRefused) || !strings.Contains(err.Error(), "SignatureDoesNotMatch") || strings.Contains(err.Error(), "Canonical") {
		t.Errorf("%v", err)
	}
	silent(t, w.Cloud, err)
}

// What the operator says of FIPS end-points holds where the host says nothing of them.
func TestOperatorsEndpoints(t *testing.T) {
	amazontest.Environment(t, "AWS_USE_FIPS_ENDPOINT=true")
	w := newWorld()
	if _, err := whoami(t.Context(), w.identity(), w.source(), amazon.Place{Region: "us-east-1"}); err != nil || w.Last("sts:GetCallerIdentity").Host != "sts-fips.us-east-1.amazonaws.com" {
		t.Errorf("%v from %s", err, w.Last("sts:GetCallerIdentity").Host)
	}
}

// fails is a network on which nothing is reached.
type fails struct{ err error }

func (f fails) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// What is wrong on the way is told as what it is.
func TestNoWay(t *testing.T) {
	amazontest.Environment(t)
	w := newWorld()
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for text, err := range map[string]error{
		"no route": dial(syscall.EHOSTUNREACH), "there is no route": dial(syscall.ENETUNREACH), "refused": dial(syscall.ECONNREFUSED), "broke": dial(syscall.ECONNRESET),
		"proxy is not reached": &net.OpError{Op: "proxyconnect", Net: "tcp", Err: syscall.ECONNREFUSED}, "wants a login": errors.New("Proxy Authentication Required"),
		"in time": dial(os.ErrDeadlineExceeded), "does not resolve": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "sts.eu-west-1.amazonaws.com", IsTemporary: true}},
		"not trusted": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "no answer": errors.New("something else"),
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := whoami(t.Context(), amazon.New(amazon.Config{Transport: fails{err}}), w.source(), ireland)
			if !errors.Is(err, amazon.ErrUnreachable) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "sts.eu-west-1.amazonaws.com") {
				t.Errorf("%v, want %s", err, text)
			}
			silent(t, w.Cloud, err)
		})
	}
}

func TestNoContainerCredentials(t *testing.T) {
	amazontest.Environment(t, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/1")
	synctest.Test(t, func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		_, err := whoami(t.Context(), amazon.New(amazon.Config{Transport: fails{refused}}), amazon.Source{}, ireland)
		var told *amazon.Error
		if !errors.As(err, &told) || told.Kind != amazon.ErrUnreachable || !strings.Contains(told.Text, "container credentials") || !strings.Contains(told.Hint, "169.254.170.2") {
			t.Errorf("%v", err)
		}
	})
}

func TestUnknownRegion(t *testing.T) {
	amazontest.Environment(t)
	w := newWorld()
	_, err := whoami(t.Context(), w.identity(), w.source(), amazon.Place{Region: "eu-nowhere-9"})
	var told *amazon.Error
	if !errors.As(err, &told) || told.Kind != amazon.ErrUnreachable || !strings.Contains(told.Text, "sts.eu-nowhere-9.amazonaws.com") || !strings.Contains(told.Hint, `no region "eu-nowhere-9"`) {
		t.Errorf("%v", err)
	}
}

func TestEndedContext(t *testing.T) {
	amazontest.Environment(t)
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []amazon.Source{{}, w.source(), w.assuming()} {
		if _, err := whoami(ctx, w.identity(), s, ireland); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
}

// Keys out of a secret need nothing of the node's configuration.
func TestKeysBesideABrokenProfile(t *testing.T) {
	amazontest.Environment(t, "AWS_PROFILE=absent")
	w := newWorld()
	if arn, err := whoami(t.Context(), w.identity(), w.source(), ireland); err != nil || arn != w.user.ARN {
		t.Errorf("%s, %v", arn, err)
	}
}

// STS out of reach makes no name, and keeps nobody waiting for longer than two seconds, and that once.
func TestPrincipalIsNotWaitedFor(t *testing.T) {
	amazontest.Environment(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.On("sts:GetCallerIdentity", amazontest.Fault{Delay: time.Hour})
		i := w.identity()
		began := time.Now()
		for range 3 {
			if name := i.Principal(t.Context(), w.source(), ireland); name != "" {
				t.Errorf("%q", name)
			}
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Minute) // the question goes on without them, and ends
	})
}

// Over a real network: the metadata service of an end-point that the environment names, a service whose certificate the
// environment adds, and nobody at all.
func TestNetwork(t *testing.T) {
	w := newWorld()
	w.SetInstance(&amazontest.Instance{Role: node(w.Cloud)})
	metadata := httptest.NewServer(w.Handler("169.254.169.254"))
	defer metadata.Close()
	service := httptest.NewTLSServer(w.Service("sts", "eu-west-1"))
	defer service.Close()
	authority := write(t.TempDir(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw})))
	amazontest.Environment(t, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata.URL, "AWS_ENDPOINT_URL_STS="+service.URL, "AWS_CA_BUNDLE="+authority,
		"HTTP_PROXY=http://127.0.0.1:1")
	i := amazon.New(amazon.Config{})
	if arn, err := whoami(t.Context(), i, amazon.Source{}, ireland); err != nil || !strings.Contains(arn, "cluster_node_role") {
		t.Errorf("%s, %v", arn, err)
	}
	if arn, err := whoami(t.Context(), i, w.source(), ireland); err != nil || arn != w.user.ARN {
		t.Errorf("%s, %v", arn, err)
	}

	t.Setenv("AWS_CA_BUNDLE", "")
	_, err := whoami(t.Context(), amazon.New(amazon.Config{}), w.source(), ireland)
	if !errors.Is(err, amazon.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	_ = closed.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody)
	if _, err := whoami(t.Context(), amazon.New(amazon.Config{}), amazon.Source{}, ireland); !errors.Is(err, amazon.ErrNone) {
		t.Errorf("%v", err)
	}
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer mute.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", mute.URL)
	began := time.Now()
	if _, err := whoami(t.Context(), amazon.New(amazon.Config{}), amazon.Source{}, ireland); !errors.Is(err, amazon.ErrNone) || !strings.Contains(err.Error(), "session token") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}
