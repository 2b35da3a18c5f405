package hosted_test

import (
	"errors"
	"testing"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/exchange/hosted"
)

const token = "pier_node_Marker"

func exchanger(host string) hosted.Exchanger {
	return hosted.Exchanger{Host: func() string { return host }, Username: "node-1", Token: func() string { return token }}
}

// The node's token is a login for the hosted registry's host, port and all, and for no look-alike.
func TestContract(t *testing.T) {
	for _, host := range []string{"pier.example.com", "registry.example.com:7070"} {
		exchangetest.Test(t, exchangetest.Subject{Exchanger: exchanger(host), Good: exchange.Request{Host: host, Repository: "acme/app"}, Secrets: []string{token}})
	}
}

// Before the server has told its address no host is the right one, the empty one neither: it is an error, which no
// anonymous pull follows.
func TestAddressNotKnownYet(t *testing.T) {
	for _, host := range []string{"pier.example.com", ""} {
		c, err := exchanger("").Exchange(t.Context(), exchange.Request{Host: host})
		if !errors.Is(err, exchange.ErrUnreachable) || !c.Empty() {
			t.Errorf("%q: %v, %v", host, c, err)
		}
	}
}
