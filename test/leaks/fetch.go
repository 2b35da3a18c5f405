package leaks

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// mostJSON is how long an answer may be, in bytes, that is also understood; a longer one is searched only.
const mostJSON = 16 << 20

// answerTimeout is how long one answer may take. Logs are short here, and nothing is followed.
const answerTimeout = time.Minute

// An answer is what a server said to one GET.
type answer struct {
	status int
	json   any // what the body says, where it is JSON and not too long; else nil
}

// A fetcher gets answers and searches them: headers and bodies, whatever the status.
type fetcher struct {
	needle *Needle
	report *Report
	login  Login
	client *http.Client
}

func newFetcher(n *Needle, login Login, report *Report) (*fetcher, error) {
	roots, err := login.roots()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	client := &http.Client{Transport: transport, Timeout: answerTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // it might lead to another server
	}}
	return &fetcher{needle: n, report: report, login: login, client: client}, nil
}

// get fetches and searches. An answer that does not come, or not whole, is a failure in the report and nil here.
func (f *fetcher) get(ctx context.Context, address *url.URL) *answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		f.report.fail("GET %s: %w", address, err)
		return nil
	}
	if f.login.fits(address) {
		request.Header.Set("Authorization", "Bearer "+f.login.token)
	}
	response, err := f.client.Do(request)
	if err != nil {
		f.report.fail("%w", err)
		return nil
	}
	defer response.Body.Close()
	var header bytes.Buffer
	_ = response.Header.Write(&header) // a buffer takes everything
	f.report.add(f.needle.ScanBytes(header.Bytes(), fmt.Sprintf("header of GET %s", address)))
	body := &head{}
	f.report.scan(f.needle, io.TeeReader(response.Body, body), fmt.Sprintf("answer to GET %s", address))
	f.report.change(func(r *Report) { r.Answers++ })
	a := &answer{status: response.StatusCode}
	if !body.cut && json.Unmarshal(body.Bytes(), &a.json) != nil {
		a.json = nil
	}
	return a
}

// A head keeps what is written to it up to mostJSON bytes.
type head struct {
	bytes.Buffer
	cut bool
}

func (h *head) Write(b []byte) (int, error) {
	if h.Len()+len(b) > mostJSON {
		h.cut = true
		return len(b), nil
	}
	return h.Buffer.Write(b)
}
