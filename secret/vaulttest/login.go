package vaulttest

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// JWT signs a token for a subject, as the issuer that this Vault trusts.
func (f *Fake) JWT(subject, audience string, life time.Duration) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: f.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err) // of a key that was made for it
	}
	now := f.Now()
	text, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: "https://issuer.example.com", Subject: subject, Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), Expiry: jwt.NewNumericDate(now.Add(life))}).Serialize()
	if err != nil {
		panic(err)
	}
	f.locked(func() { f.made = append(f.made, text) })
	return text
}

// Key is the issuer's public key in PEM, for a Vault that is not this one.
func (f *Fake) Key() string {
	der, err := x509.MarshalPKIXPublicKey(f.key.Public())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (f *Fake) login(w http.ResponseWriter, r *http.Request, method string) {
	var body map[string]string
	if (r.Method != http.MethodPut && r.Method != http.MethodPost) || json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body) != nil {
		refuse(w, http.StatusBadRequest, "error parsing JSON")
		return
	}
	switch method {
	case "approle":
		l := f.appRole[body["role_id"]]
		if l == nil || l.secretID != body["secret_id"] {
			refuse(w, http.StatusBadRequest, "invalid role or secret ID")
			return
		}
		f.let(w, l)
	case "kubernetes", "jwt":
		f.loginJWT(w, method, body)
	case "aws":
		f.loginAWS(w, body)
	default:
		refuse(w, http.StatusNotFound, `no handler for route "auth/`+method+`/login". route entry not found.`)
	}
}

func (f *Fake) let(w http.ResponseWriter, l *login) {
	give(w, http.StatusOK, map[string]any{"auth": map[string]any{"client_token": f.token(l, true), "accessor": "a", "policies": []string{"default"}, "lease_duration": int(l.life.Seconds()), "renewable": true}})
}

func (f *Fake) loginJWT(w http.ResponseWriter, method string, body map[string]string) {
	l := f.jwtRole[method+"/"+body["role"]]
	if l == nil {
		refuse(w, http.StatusBadRequest, `role "`+body["role"]+`" could not be found`)
		return
	}
	token, err := jwt.ParseSigned(body["jwt"], []jose.SignatureAlgorithm{jose.ES256})
	var claims jwt.Claims
	if err == nil {
		err = token.Claims(f.key.Public(), &claims)
	}
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "error validating token: no known key successfully validated the token signature")
	case claims.ValidateWithLeeway(jwt.Expected{Time: f.Now()}, time.Minute) != nil:
		refuse(w, http.StatusBadRequest, "error validating token: token is expired")
	case l.audience != "" && !slices.Contains(claims.Audience, l.audience):
		refuse(w, http.StatusBadRequest, "error validating claims: aud claim does not match any bound audience")
	case claims.Subject != l.subject:
		refuse(w, http.StatusForbidden, "permission denied")
	default:
		f.let(w, l)
	}
}

// loginAWS sends the signed request on to STS, as Vault does, and looks who signed it.
func (f *Fake) loginAWS(w http.ResponseWriter, body map[string]string) {
	l := f.awsRole[body["role"]]
	if l == nil || f.STS == nil {
		refuse(w, http.StatusBadRequest, "entry for role not found")
		return
	}
	decoded := map[string]string{}
	for _, name := range []string{"iam_request_url", "iam_request_body", "iam_request_headers"} {
		text, err := base64.StdEncoding.DecodeString(body[name])
		if err != nil {
			refuse(w, http.StatusBadRequest, "failed to base64 decode "+name)
			return
		}
		decoded[name] = string(text)
	}
	var headers http.Header
	target, err := url.Parse(decoded["iam_request_url"])
	if err != nil || json.Unmarshal([]byte(decoded["iam_request_headers"]), &headers) != nil || body["iam_http_request_method"] != http.MethodPost || decoded["iam_request_body"] != "Action=GetCallerIdentity&Version=2011-06-15" {
		refuse(w, http.StatusBadRequest, "invalid request")
		return
	}
	if f.ServerID != "" && (headers.Get("X-Vault-Aws-Iam-Server-Id") != f.ServerID || !strings.Contains(strings.Join(headers["Authorization"], ""), "x-vault-aws-iam-server-id")) {
		refuse(w, http.StatusBadRequest, "error validating X-Vault-AWS-IAM-Server-ID header: missing header")
		return
	}
	request := httptest.NewRequest(http.MethodPost, target.String(), strings.NewReader(decoded["iam_request_body"]))
	request.Header = headers
	answer := httptest.NewRecorder()
	f.STS.ServeHTTP(answer, request)
	var told struct {
		Arn string `xml:"GetCallerIdentityResult>Arn"`
	}
	if answer.Code != http.StatusOK || xml.Unmarshal(answer.Body.Bytes(), &told) != nil {
		refuse(w, http.StatusBadRequest, "error making upstream request: received error code from STS")
		return
	}
	if told.Arn != l.subject {
		refuse(w, http.StatusBadRequest, "IAM Principal does not belong to the role")
		return
	}
	f.let(w, l)
}
