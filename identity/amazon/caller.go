package amazon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// callerQuery asks STS who signed it.
const callerQuery = "Action=GetCallerIdentity&Version=2011-06-15"

// SignedCallerIdentity is a POST of sts:GetCallerIdentity in the source's name, signed and not sent, with these headers among
// the signed ones: who gets it can ask Amazon who signed it, and nothing else. In us-east-1 it is for sts.amazonaws.com,
// elsewhere for the region's own host. Errors: as for Ask.
func (i *Identity) SignedCallerIdentity(ctx context.Context, s Source, p Place, headers http.Header) (*http.Request, error) {
	return Ask(ctx, i, s, p, func(ctx context.Context, c aws.Config) (*http.Request, error) {
		credentials, err := c.Credentials.Retrieve(ctx)
		if err != nil {
			return nil, err
		}
		host := "sts." + p.Region + ".amazonaws.com"
		switch {
		case p.Region == "us-east-1":
			host = "sts.amazonaws.com"
		case strings.HasPrefix(p.Region, "cn-"):
			host += ".cn"
		}
		body := []byte(callerQuery)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		for name, values := range headers {
			request.Header[name] = values
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		sum := sha256.Sum256(body)
		err = v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "sts", p.Region, time.Now())
		return request, err
	})
}
