package amazontest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

// exampleToken is the session token of AWS's test suite.
const exampleToken = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

func request(t *testing.T, method, target, host, body string, headers map[string]string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, "https://"+host+target, strings.NewReader(body))
	for name, value := range headers {
		for line := range strings.SplitSeq(value, "\n") {
			r.Header.Add(name, line)
		}
	}
	return r
}

// The vectors of AWS's Signature Version 4 test suite (service "service", us-east-1, 2015-08-30T12:36:00Z), but for those
// of path normalisation, which no service asked here does.
func TestAWSTestSuite(t *testing.T) {
	const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	form := "application/x-www-form-urlencoded"
	for _, v := range []struct {
		name, method, target, body string
		headers                    map[string]string
		signed, want               string
	}{
		{"get-vanilla", "GET", "/", "", nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-header-key-duplicate", "GET", "/", "", map[string]string{"My-Header1": "value2\nvalue2\nvalue1"}, "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		{"get-header-value-multiline", "GET", "/", "", map[string]string{"My-Header1": "value1,value2,value3"}, "host;my-header1;x-amz-date", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
		{"get-header-value-order", "GET", "/", "", map[string]string{"My-Header1": "value4\nvalue1\nvalue3\nvalue2"}, "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		{"get-header-value-trim", "GET", "/", "", map[string]string{"My-Header1": " value1", "My-Header2": ` "a   b   c"`}, "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"get-unreserved", "GET", "/" + unreserved, "", nil, "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		{"get-utf8", "GET", "/%E1%88%B4", "", nil, "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		{"get-vanilla-empty-query-key", "GET", "/?Param1=value1", "", nil, "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", nil, "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-vanilla-query-unreserved", "GET", "/?" + unreserved + "=" + unreserved, "", nil, "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		{"get-vanilla-utf8-query", "GET", "/?%E1%88%B4=bar", "", nil, "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		{"post-vanilla", "POST", "/", "", nil, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-header-key-sort", "POST", "/", "", map[string]string{"My-Header1": "value1"}, "host;my-header1;x-amz-date", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		{"post-header-value-case", "POST", "/", "", map[string]string{"My-Header1": "VALUE1"}, "host;my-header1;x-amz-date", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
		{"post-sts-header-before", "POST", "/", "", map[string]string{"X-Amz-Security-Token": exampleToken}, "host;x-amz-date;x-amz-security-token", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
		{"post-vanilla-query", "POST", "/?Param1=value1", "", nil, "host;x-amz-date", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		{"post-x-www-form-urlencoded", "POST", "/", "Param1=value1", map[string]string{"Content-Type": form}, "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		{"post-x-www-form-urlencoded-parameters", "POST", "/", "Param1=value1", map[string]string{"Content-Type": form + "; charset=utf8"}, "content-type;host;x-amz-date", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
	} {
		r := request(t, v.method, v.target, "example.amazonaws.com", v.body, v.headers)
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		header := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + v.signed + ", Signature=" + v.want
		a, ok := readAuthorization(header)
		if !ok {
			t.Fatalf("%s: the header is not read", v.name)
		}
		if got := signatureOf(r, []byte(v.body), a, "20150830T123600Z", exampleSecret); got != v.want {
			t.Errorf("%s: %s, want %s\n%s", v.name, got, v.want, canonicalRequest(r, a.signed, []byte(v.body)))
		}
	}
}

const (
	jsonHeaders = "content-length;content-type;host;x-amz-date;x-amz-target"
	jsonType    = "application/x-amz-json-1.1"
)

// Four requests as the services of this kit get them, signed by two other implementations with equal results; each is
// taken, and refused once anything in it is changed.
func TestServiceVectors(t *testing.T) {
	const ecrTarget, smTarget = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "secretsmanager.GetSecretValue"
	for _, v := range []struct {
		name, service, region, host, target, contentType, token, body, signed, want string
	}{
		{"ecr", "ecr", "us-east-1", "api.ecr.us-east-1.amazonaws.com", ecrTarget, jsonType, "", "{}", jsonHeaders, "5339abfd0aded45230d344a83fe2d1cb0b139a35e0c074ba7e2848b0eda615da"},
		{"session", "ecr", "us-east-1", "api.ecr.us-east-1.amazonaws.com", ecrTarget, jsonType, "SESSIONTOKEN", "{}",
			"content-length;content-type;host;x-amz-date;x-amz-security-token;x-amz-target", "4080a55c0dee1b0cd1f316a596d8ade144a58aed8c0b4700712888ed08ca4c37"},
		{"secretsmanager", "secretsmanager", "eu-west-1", "secretsmanager.eu-west-1.amazonaws.com", smTarget, jsonType, "", `{"SecretId":"my/secret"}`, jsonHeaders, "e363ab0f7d263e69533dd132918d61c95f603a83f37342a352dab6dfc54cf080"},
		{"sts", "sts", "us-east-1", "sts.us-east-1.amazonaws.com", "", "application/x-www-form-urlencoded", "", "Action=GetCallerIdentity&Version=2011-06-15",
			"content-length;content-type;host;x-amz-date", "555a9f97fb2a18c9c0d498236e48784822baadb272804de42f4f6fc256da2818"},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := New()
			user := c.User("aws", "123456789012", "example")
			c.keys["AKIDEXAMPLE"] = &Key{ID: "AKIDEXAMPLE", Secret: exampleSecret, Token: v.token, by: user, arn: user.ARN}
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			c.SetClock(func() time.Time { return at })
			fresh := func() *http.Request {
				headers := map[string]string{"Content-Type": v.contentType, "X-Amz-Date": at.Format(amzTime),
					"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/" + v.region + "/" + v.service + "/aws4_request, SignedHeaders=" + v.signed + ", Signature=" + v.want}
				if v.target != "" {
					headers["X-Amz-Target"] = v.target
				}
				if v.token != "" {
					headers["X-Amz-Security-Token"] = v.token
				}
				return request(t, "POST", "/", v.host, v.body, headers)
			}
			if k, err := c.verify(fresh(), []byte(v.body), v.service, v.region, "aws"); err != nil || k.arn != user.ARN {
				t.Fatalf("%v, %+v", k, err)
			}
			refuse := func(what, code string, change func(*http.Request), service, region, partition, body string) {
				t.Helper()
				r := fresh()
				change(r)
				if _, err := c.verify(r, []byte(body), service, region, partition); err == nil || err.code != code {
					t.Errorf("%s: %+v, want %s", what, err, code)
				}
			}
			same := func(*http.Request) {}
			refuse("another body", "InvalidSignatureException", same, v.service, v.region, "aws", v.body+" ")
			refuse("another host", "InvalidSignatureException", func(r *http.Request) { r.Host = "evil.com" }, v.service, v.region, "aws", v.body)
			refuse("another path", "InvalidSignatureException", func(r *http.Request) { r.URL.Path = "/x" }, v.service, v.region, "aws", v.body)
			refuse("another region", "InvalidSignatureException", same, v.service, "eu-central-1", "aws", v.body)
			refuse("another service", "InvalidSignatureException", same, "s3", v.region, "aws", v.body)
			refuse("another partition", "UnrecognizedClientException", same, v.service, v.region, "aws-cn", v.body)
			refuse("another token", "UnrecognizedClientException", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "other") }, v.service, v.region, "aws", v.body)
			refuse("another time", "InvalidSignatureException", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260102T030406Z") }, v.service, v.region, "aws", v.body)
			refuse("another day", "IncompleteSignatureException", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260103T030405Z") }, v.service, v.region, "aws", v.body)
			refuse("no header", "MissingAuthenticationTokenException", func(r *http.Request) { r.Header.Del("Authorization") }, v.service, v.region, "aws", v.body)
			unsigned := strings.NewReplacer("x-amz-date", "x-other").Replace
			refuse("date not signed", "IncompleteSignatureException", func(r *http.Request) { r.Header.Set("Authorization", unsigned(r.Header.Get("Authorization"))) }, v.service, v.region, "aws", v.body)
			at = at.Add(skew + time.Second)
			late := func(r *http.Request) { r.Header.Set("X-Amz-Date", at.Add(-skew-time.Second).Format(amzTime)) }
			refuse("late", "InvalidSignatureException", late, v.service, v.region, "aws", v.body)
			at = at.Add(-2*skew - 2*time.Second)
			early := func(r *http.Request) { r.Header.Set("X-Amz-Date", at.Add(skew+time.Second).Format(amzTime)) }
			refuse("early", "InvalidSignatureException", early, v.service, v.region, "aws", v.body)
		})
	}
}
