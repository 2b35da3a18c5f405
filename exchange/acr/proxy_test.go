package acr_test

import (
	"net/http"
	"strings"
	"testing"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/azuretest"
)

// The exchange at a registry with a proxy goes through it, and a proxy that says no is told as such.
func TestTheExchangeThroughAProxy(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	inner, shut := p.world.Proxy(), false
	proxy := p.world.HTTP("proxy.corp.example:3128", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shut {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	out, err := egress.New(egress.Rules{Host: p.registry.Host, CA: p.world.CA(), Proxy: "http://proxy.corp.example:3128"}, p.world.Network())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := p.request()
	r.Out = out
	if _, err := p.subject.Exchange(t.Context(), r); err != nil || !strings.Contains(proxy.Received(), "CONNECT "+p.registry.Host+":443 ") {
		t.Errorf("%v", err)
	}
	out.Close()
	shut = true
	p.refuses(t, r, exchange.ErrUnreachable, "the proxy proxy.corp.example:3128 refused: it answered 403", "lets this node reach "+p.registry.Host+" through it")
}
