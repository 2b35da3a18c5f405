package ecr_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/identity/amazontest"
	"pierhead.dev/pierhead/secret"
)

// Keys are read in the forms in which people have them.
func TestI7Forms(t *testing.T) {
	w := newWorld(t)
	id, key := w.key.ID, w.key.Secret
	auth := base64.StdEncoding.EncodeToString([]byte(id + ":" + key))
	session := w.Session(w.role, "x", time.Hour)
	for _, text := range []string{
		fmt.Sprintf(`{"username": %q, "password": %q}`, id, key),
		fmt.Sprintf(`{"username": %q, "password": %q, "server": "https://%s/"}`, id, key, ireland),
		fmt.Sprintf(`{"auths": {%q: {"auth": %q}, "ghcr.io": {"username": "x", "password": "y"}}}`, ireland, auth),
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q}`, id, key),
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q, "server": %q}`, id, key, ireland),
		fmt.Sprintf(`{"AWS_ACCESS_KEY_ID": %q, "AWS_SECRET_ACCESS_KEY": %q}`, id, key),
		fmt.Sprintf(`{"AccessKeyId": %q, "SecretAccessKey": %q, "SessionToken": %q, "Expiration": "2026-11-26T00:00:00Z"}`, session.ID, session.Secret, session.Token),
		fmt.Sprintf("{\n  \"AccessKey\": {\"UserName\": \"ci\", \"AccessKeyId\": %q, \"Status\": \"Active\", \"SecretAccessKey\": %q, \"CreateDate\": \"2026-01-01T00:00:00+00:00\"}\n}\n", id, key),
		fmt.Sprintf(`{"Credentials": {"AccessKeyId": %q, "SecretAccessKey": %q, "SessionToken": %q, "Expiration": "x"}, "AssumedRoleUser": {"AssumedRoleId": "AROA:x", "Arn": "arn"}}`, session.ID, session.Secret, session.Token),
	} {
		c, err := w.Exchange(t.Context(), exchange.Request{Host: ireland, Repository: "app", Secret: value("%s", text)})
		if _, _, ok := w.Password(c.Password()); err != nil || !ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What is no access key is told as what it is, without a byte of it.
func TestNoKeys(t *testing.T) {
	w := newWorld(t)
	id, key := w.key.ID, w.key.Secret
	token := "eyJwYXlsb2FkIjoi" + strings.Repeat("hunter2", 200)
	for text, want := range map[string]string{
		``:        "neither",
		`hunter2`: "JSON",
		fmt.Sprintf(`{"username": "AWS", "password": %q}`, token):                                                                    "user AWS",
		fmt.Sprintf(`{"auths": {%q: {"username": "AWS", "password": %q}}}`, ireland, token):                                          "user AWS",
		`{"username": "hunter2@example.com", "password": "hunter2"}`:                                                                 "e-mail",
		`{"username": "hunter2", "password": "hunter2"}`:                                                                             "no access key id",
		fmt.Sprintf(`{"username": %q, "password": "hunter2"}`, id):                                                                   "40 letters",
		fmt.Sprintf(`{"aws_access_key_id": %q}`, id):                                                                                 "40 letters",
		fmt.Sprintf(`{"aws_secret_access_key": %q}`, key):                                                                            "no access key id",
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": " %s"}`, id, key):                                            "40 letters",
		fmt.Sprintf(`{"aws_access_key_id": %q, "AWS_SECRET_ACCESS_KEY": %q}`, id, key):                                               "none of",
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q, "hunter2": "x"}`, id, key):                               "none of",
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_access_key_id": %q, "aws_secret_access_key": %q}`, id, id, key):                  "twice",
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": 12345}`, id):                                                 "not a text",
		fmt.Sprintf(`{"AccessKey": {"AccessKeyId": %q, "SecretAccessKey": %q}, "hunter2": 1}`, id, key):                              "other keys",
		fmt.Sprintf(`{"AccessKey": [%q]}`, key):                                                                                      "not a JSON object",
		fmt.Sprintf(`{"AccessKey": {"AccessKeyId": %q, "SecretAccessKey": %q, "hunter2": "x"}}`, id, key):                            "none of",
		fmt.Sprintf(`{"AccessKeyId": "ASIAIOSFODNN7EXAMPLE", "SecretAccessKey": %q}`, key):                                           "session token is not there",
		fmt.Sprintf(`{"AccessKeyId": "ASIAIOSFODNN7EXAMPLE", "SecretAccessKey": %q, "SessionToken": "hunter2\n"}`, key):              "line break",
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q, "server": "hunter2@x"}`, id, key):                        "server",
		`{"type": "service_account", "private_key": "hunter2", "client_email": "x@y.iam.gserviceaccount.com", "token_uri": "https"}`: "",
	} {
		_, err := w.Exchange(t.Context(), exchange.Request{Host: ireland, Secret: value("%s", text)})
		if !errors.Is(err, exchange.ErrContent) || !strings.Contains(err.Error(), want) || exchange.HintOf(err) == "" {
			t.Errorf("%s: %v", text, err)
		}
		exchangetest.Silent(t, err, "hunter2", key, token, base64.StdEncoding.EncodeToString([]byte("AWS:"+token)))
	}
	for _, text := range []string{
		fmt.Sprintf(`{"username": %q, "password": %q, "server": "ghcr.io"}`, id, key),
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q, "server": "999999999999.dkr.ecr.eu-west-1.amazonaws.com"}`, id, key),
		fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q, "server": "%s/other"}`, id, key, ireland),
	} {
		if _, err := w.Exchange(t.Context(), exchange.Request{Host: ireland, Repository: "app", Secret: value("%s", text)}); !errors.Is(err, exchange.ErrHostMismatch) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if n := w.Count("ecr:GetAuthorizationToken"); n > 0 {
		t.Errorf("%d calls", n)
	}
}

// Whatever the secret holds, the answer is a key of the right form or an error of the room's, and never a part of it.
func FuzzKeys(f *testing.F) {
	for _, text := range []string{`{"username":"AKIAIOSFODNN7EXAMPLE","password":"x"}`, `{"AccessKey":{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE"}}`, `{"Credentials":{}}`, `{"aws_access_key_id":"x","server":"a"}`, `{"auths":{}}`, `[`} {
		f.Add([]byte(text))
	}
	c := amazontest.New()
	e := exchanger(c)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nobody is asked
	f.Fuzz(func(t *testing.T, text []byte) {
		login, err := e.Exchange(ctx, exchange.Request{Host: ireland, Secret: secret.NewValue(text)})
		if !login.Empty() || !errors.Is(err, exchange.ErrContent) && !errors.Is(err, exchange.ErrHostMismatch) && !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", login, err)
		}
	})
}
