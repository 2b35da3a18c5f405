package broker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"pierhead.dev/pierhead"
)

// A registry's proxy is what its pulls go through, and its no is told as the proxy's.
func TestPullsGoThroughTheRegistrysProxy(t *testing.T) {
	r := newRemote(t, true)
	var mu sync.Mutex
	asked, status := 0, 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; status != 0 {
			w.WriteHeader(status)
			return
		}
		request.RequestURI = ""
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(proxy.Close)
	registry := r.registry()
	registry.Proxy = proxy.URL
	n := newNode(t, registry)
	n.write(registry.Name, r.password, "")
	got, _, err := n.resolve(r.host + "/team/app:v1")
	requests, _ := r.count(r.password)
	if err != nil || got != r.manifest || asked != requests || asked == 0 {
		t.Fatalf("%s, %v; %d requests to the registry, %d through the proxy", got, err, requests, asked)
	}
	mu.Lock()
	status = http.StatusProxyAuthRequired
	mu.Unlock()
	_, _, err = n.resolve(r.host + "/team/app:v1")
	text := fmt.Sprintf("the proxy %s refused: it answered 407 Proxy Authentication Required to HEAD %s; it asks for a login, and is sent none", strings.TrimPrefix(proxy.URL, "http://"), r.host)
	if err == nil || !strings.Contains(err.Error(), text) || !strings.HasPrefix(pierhead.HintOf(err), "whoever runs the proxy lets this node through") {
		t.Errorf("%v\n  hint: %s", err, pierhead.HintOf(err))
	}
	if strings.Contains(n.events.kinds(), "pull.anonymous") {
		t.Errorf("an event says that a login was refused: %s", n.events.kinds())
	}
}
