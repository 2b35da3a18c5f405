// Package exchangetest is what every exchange.Exchanger must keep.
package exchangetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pierhead.dev/pierhead/exchange"
)

// A Subject is an exchanger under test, with requests whose answers are known.
type Subject struct {
	Exchanger exchange.Exchanger
	Good      exchange.Request // succeeds
	Secrets   []string         // what must be in no text: the password and its encodings
}

// lookAlikes makes hosts that are not the host but look like it; each was an advisory somewhere: a suffix (evilghcr.io),
// a prefix (docker.io.evil.com), a sub-domain, a parent, another port, other letters.
func lookAlikes(host string) []string {
	name, _, _ := strings.Cut(host, ":")
	_, parent, _ := strings.Cut(name, ".")
	return []string{
		"evil" + host, name + ".evil.com", "sub." + host, parent, name + ":8443", strings.Replace(host, ".", "-", 1),
		host + ".", " " + host, host + "/", strings.ToUpper(host), "xn--" + host, "", "evil.com",
	}
}

// Test checks that s keeps the contract of exchange.Exchanger.
func Test(t *testing.T, s Subject) {
	t.Run("credential", func(t *testing.T) { testCredential(t, s) })
	t.Run("A5 other hosts get nothing", func(t *testing.T) { testOtherHosts(t, s) })
	t.Run("ended context", func(t *testing.T) { testContext(t, s) })
}

func testCredential(t *testing.T, s Subject) {
	c, err := s.Exchanger.Exchange(t.Context(), s.Good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Empty() || c.Username() == "" || c.Password() == "" || !c.For(s.Good.Host) {
		t.Errorf("%v is no login for %s", c, s.Good.Host)
	}
	for _, host := range lookAlikes(s.Good.Host) {
		if c.For(host) {
			t.Errorf("%v is for %q too", c, host)
		}
	}
}

func testOtherHosts(t *testing.T, s Subject) {
	for _, host := range lookAlikes(s.Good.Host) {
		if host == s.Good.Host {
			continue
		}
		r := s.Good
		r.Host = host
		c, err := s.Exchanger.Exchange(t.Context(), r)
		if !errors.Is(err, exchange.ErrHostMismatch) {
			t.Errorf("for %q: %v, want a mismatch", host, err)
			continue
		}
		if !c.Empty() {
			t.Errorf("for %q: a login beside the error", host)
		}
		if host != "" && !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), s.Good.Host) {
			t.Errorf("for %q: the error does not name both hosts: %v", host, err)
		}
		Silent(t, err, s.Secrets...)
	}
}

// testContext accepts an exchanger that asks nobody and so never looks at the context.
func testContext(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Exchanger.Exchange(ctx, s.Good); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// Silent checks that an error, with its hint and in every way it may be printed, holds none of the secrets.
func Silent(t *testing.T, err error, secrets ...string) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v %q %s", err, err, err, err, exchange.HintOf(err))
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("a secret is in the error %T", err)
		}
	}
}
