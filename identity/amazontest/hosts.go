package amazontest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// A partition is an Amazon of its own: its keys and hosts are nothing to the others.
type partition struct {
	name          string
	suffix        string // of hosts
	dual          string // of dual-stack hosts
	regions       []string
	defaultRegion string // of sts.<suffix>
}

var partitions = []partition{
	{"aws", "amazonaws.com", "api.aws", []string{"us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"}, "us-east-1"},
	{"aws-us-gov", "amazonaws.com", "api.aws", []string{"us-gov-west-1", "us-gov-east-1"}, "us-gov-west-1"},
	{"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", []string{"cn-north-1", "cn-northwest-1"}, "cn-north-1"},
	{"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", []string{"eusc-de-east-1"}, "eusc-de-east-1"},
	{"aws-iso", "c2s.ic.gov", "api.aws.ic.gov", []string{"us-iso-east-1"}, "us-iso-east-1"},
	{"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", []string{"us-isob-east-1"}, "us-isob-east-1"},
	{"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", []string{"eu-isoe-west-1"}, "eu-isoe-west-1"},
	{"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", []string{"us-isof-south-1"}, "us-isof-south-1"},
}

// serviceHost reads SERVICE[-fips].REGION.SUFFIX, where ECR's service has "api." before it.
var serviceHost = regexp.MustCompile(`^(?:api\.)?(ecr-public|ecr|sts|secretsmanager)(-fips)?\.([a-z0-9-]+)\.(.+)$`)

// Handler is the service that has the host name, or nil where Amazon has no such host: then the name does not resolve.
func (c *Cloud) Handler(host string) http.Handler {
	host = strings.TrimSuffix(host, ".")
	if name, port, err := net.SplitHostPort(host); err == nil && (port == "443" || port == "80") {
		host = name
	}
	switch host {
	case "169.254.169.254", "fd00:ec2::254", "[fd00:ec2::254]":
		return http.HandlerFunc(c.serveMetadata)
	case "169.254.170.2":
		return http.HandlerFunc(c.serveECS)
	case "169.254.170.23", "fd00:ec2::23", "[fd00:ec2::23]":
		return http.HandlerFunc(c.servePodIdentity)
	}
	if h := c.registryAt(host); h != nil {
		return h
	}
	parts := serviceHost.FindStringSubmatch(host)
	if parts == nil {
		return nil
	}
	for _, p := range partitions {
		if slices.Contains(p.regions, parts[3]) && (parts[4] == p.suffix || parts[4] == p.dual) {
			return c.Service(parts[1], parts[3])
		}
	}
	return nil
}

// ServeHTTP is all of the cloud's hosts by their names.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := c.Handler(r.Host)
	if h == nil {
		http.Error(w, "no such host at Amazon: "+r.Host, http.StatusMisdirectedRequest)
		return
	}
	h.ServeHTTP(w, r)
}

// Service is a service in a region, for tests that name its address themselves; nil where there is none.
func (c *Cloud) Service(service, region string) http.Handler {
	i := slices.IndexFunc(partitions, func(p partition) bool { return slices.Contains(p.regions, region) })
	if i < 0 {
		return nil
	}
	at := place{partition: partitions[i].name, region: region, suffix: partitions[i].suffix}
	switch {
	case service == "sts":
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serveSTS(w, r, at) })
	case service == "ecr":
		return c.jsonService("ecr", at, map[string]operation{
			"AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken": c.getAuthorizationToken,
			"AmazonEC2ContainerRegistry_V20150921.CreateRepository":      c.createRepository,
		})
	case service == "ecr-public" && region == "us-east-1":
		return c.jsonService("ecr-public", at, map[string]operation{"SpencerFrontendService.GetAuthorizationToken": c.getPublicToken})
	case service == "secretsmanager":
		return c.jsonService("secretsmanager", at, map[string]operation{"secretsmanager.GetSecretValue": c.getSecretValue})
	}
	return nil
}

type place struct{ partition, region, suffix string }

// maxAnswer is where the transport stops to read an answer that has no end.
const maxAnswer = 4 << 20

// Transport reaches the cloud's hosts without leaving the process: by their real names, as a node would that has a route to
// them. Other names do not resolve; without an instance nobody is at the metadata service's address.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

// RoundTrip runs the handler, which sees the request end when its context does.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.cloud.route(r); err != nil {
		return nil, err
	}
	h := t.cloud.Handler(r.URL.Host)
	if h == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	in, err := arrived(ctx, r)
	if err != nil {
		return nil, err
	}
	out := &answer{ResponseRecorder: httptest.NewRecorder()}
	out.Header().Set("Date", t.cloud.now().UTC().Format(http.TimeFormat))
	done := make(chan error, 1)
	go func() {
		defer func() {
			if recover() != nil {
				done <- &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
			}
		}()
		h.ServeHTTP(out, in)
		done <- r.Context().Err()
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		response := out.Result()
		response.Request = r
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// arrived is a request as the server sees it.
func arrived(ctx context.Context, r *http.Request) (*http.Request, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	in := r.Clone(ctx)
	in.Body, in.RequestURI, in.RemoteAddr = io.NopCloser(bytes.NewReader(body)), r.URL.RequestURI(), "192.0.2.1:40000"
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	return in, nil
}

// An answer is a recorder that a handler cannot fill without end.
type answer struct{ *httptest.ResponseRecorder }

func (a *answer) Write(b []byte) (int, error) {
	if a.Body.Len() > maxAnswer {
		return 0, errors.New("enough")
	}
	return a.ResponseRecorder.Write(b)
}

// route tells whether there is a way to a link-local address.
func (c *Cloud) route(r *http.Request) error {
	ip := net.ParseIP(r.URL.Hostname())
	if ip == nil || r.URL.Hostname() != "169.254.169.254" {
		return nil
	}
	c.mu.Lock()
	instance := c.instance
	c.mu.Unlock()
	switch {
	case instance == nil:
		return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}
	case instance.Silent:
		<-r.Context().Done()
		return &net.OpError{Op: "dial", Net: "tcp", Err: r.Context().Err()}
	}
	return nil
}
