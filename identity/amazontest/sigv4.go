package amazontest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// skew is how far a request's time may be from the service's.
const skew = 15 * time.Minute

const amzTime = "20060102T150405Z"

// An authorization is the header of a signed request, in its parts.
type authorization struct {
	id, date, region, service string
	signed                    []string
	signature                 string
}

// readAuthorization reads "AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=hex".
func readAuthorization(header string) (authorization, bool) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return authorization{}, false
	}
	parts := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || parts["SignedHeaders"] == "" || len(parts["Signature"]) != 64 {
		return authorization{}, false
	}
	return authorization{id: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signed: strings.Split(parts["SignedHeaders"], ";"), signature: parts["Signature"]}, true
}

// canonicalRequest is the text that is hashed, made of the signed headers only.
func canonicalRequest(r *http.Request, signed []string, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%s\n", r.Method, canonicalPath(r.URL), canonicalQuery(r.URL))
	for _, name := range signed {
		fmt.Fprintf(&b, "%s:%s\n", name, canonicalHeader(r, name))
	}
	hash := sha256.Sum256(body)
	fmt.Fprintf(&b, "\n%s\n%s", strings.Join(signed, ";"), hex.EncodeToString(hash[:]))
	return b.String()
}

func canonicalPath(u *url.URL) string {
	if u.EscapedPath() == "" {
		return "/"
	}
	var b strings.Builder
	for i, segment := range strings.Split(u.Path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(encode(segment))
	}
	return b.String()
}

// encode is AWS's own percent-encoding: everything but the unreserved characters, in capitals.
func encode(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func canonicalQuery(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, value := range values {
			pairs = append(pairs, encode(name)+"="+encode(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return fmt.Sprint(r.ContentLength)
	}
	var values []string
	for _, value := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(value), " "))
	}
	return strings.Join(values, ",")
}

// signatureOf is the signature that the request should have at that time with that secret.
func signatureOf(r *http.Request, body []byte, a authorization, at, secret string) string {
	hash := sha256.Sum256([]byte(canonicalRequest(r, a.signed, body)))
	scope := strings.Join([]string{a.date, a.region, a.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", at, scope, hex.EncodeToString(hash[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{a.date, a.region, a.service, "aws4_request"} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, toSign))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// verify finds out who signed a request for a service in a region. The error has the JSON services' codes.
func (c *Cloud) verify(r *http.Request, body []byte, service, region, partition string) (*Key, *apiError) {
	if r.Header.Get("Authorization") == "" {
		return nil, &apiError{http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token"}
	}
	a, ok := readAuthorization(r.Header.Get("Authorization"))
	if !ok || !slices.Contains(a.signed, "host") || !slices.Contains(a.signed, "x-amz-date") {
		return nil, &apiError{http.StatusBadRequest, "IncompleteSignatureException", "Authorization header requires 'Credential', 'SignedHeaders' with host and x-amz-date, and 'Signature'."}
	}
	c.mu.Lock()
	k, now := c.keys[a.id], c.now()
	c.mu.Unlock()
	// A key is known in its own partition only, and without its session token it is not a key.
	if k == nil || k.ended || k.by.partition() != partition || r.Header.Get("X-Amz-Security-Token") != k.Token {
		return nil, &apiError{http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid."}
	}
	if k.Token != "" && !slices.Contains(a.signed, "x-amz-security-token") {
		return nil, &apiError{http.StatusBadRequest, "InvalidSignatureException", "'x-amz-security-token' must be signed."}
	}
	if a.service != service || a.region != region {
		return nil, &apiError{http.StatusBadRequest, "InvalidSignatureException", fmt.Sprintf("Credential should be scoped to a valid region, not '%s', and to correct service: '%s'.", a.region, service)}
	}
	at := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(amzTime, at)
	if err != nil || !strings.HasPrefix(at, a.date) {
		return nil, &apiError{http.StatusBadRequest, "IncompleteSignatureException", "Date in Credential scope does not match the date of x-amz-date."}
	}
	if !hmac.Equal([]byte(signatureOf(r, body, a, at, k.Secret)), []byte(a.signature)) {
		return nil, &apiError{http.StatusBadRequest, "InvalidSignatureException",
			"The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been '" + canonicalRequest(r, a.signed, body) + "'"}
	}
	switch off := signed.Sub(now); {
	case off < -skew:
		return nil, &apiError{http.StatusBadRequest, "InvalidSignatureException", fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 15 min.)", at, now.Add(-skew).UTC().Format(amzTime), now.UTC().Format(amzTime))}
	case off > skew:
		return nil, &apiError{http.StatusBadRequest, "InvalidSignatureException", fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 15 min.)", at, now.Add(skew).UTC().Format(amzTime), now.UTC().Format(amzTime))}
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return nil, &apiError{http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired"}
	}
	return k, nil
}
