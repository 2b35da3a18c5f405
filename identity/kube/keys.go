package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
)

const (
	// renewAfter is how old keys get before they are asked for again: so long a withdrawn key may still be taken.
	renewAfter = 10 * time.Minute
	// askAgain is how soon the issuer is asked once more, whatever the reason.
	askAgain = 10 * time.Second
	// goodFor is how long keys go on while the issuer is away.
	goodFor = 24 * time.Hour
	// fetchWithin bounds one look for keys: the kubelet's credential provider answers within five seconds in all.
	fetchWithin = 3 * time.Second
)

// A keySet is an issuer's public keys, as they are kept too.
type keySet struct {
	Issuer string            `json:"issuer"`
	Source string            `json:"source"` // Verifier.source: keys that were had otherwise are not taken over
	At     time.Time         `json:"at"`     // when they were had; zero: never
	Keys   []jose.JSONWebKey `json:"keys"`
}

// named are the keys that a token with that key id may be signed with; one without an id may be signed with any.
func (s keySet) named(id string) []jose.JSONWebKey {
	if id == "" {
		return s.Keys
	}
	var found []jose.JSONWebKey
	for _, key := range s.Keys {
		if key.KeyID == id {
			found = append(found, key)
		}
	}
	return found
}

// An asking is one look for keys; who needs them waits for that one.
type asking struct{ done chan struct{} }

// keysWith returns the keys in use, with one of that id among them. Errors: as Verify.
func (v *Verifier) keysWith(ctx context.Context, id string) (keySet, error) {
	v.mu.Lock()
	missing := v.missing(id)
	wait := missing || v.failed == nil // nobody waits for an issuer that was away, as long as there are keys to go on with
	asking := v.askIfDue(missing)
	v.mu.Unlock()
	if asking != nil && wait {
		select {
		case <-asking.done:
		case <-ctx.Done():
			return keySet{}, ctx.Err()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !v.missing(id):
		return v.keys, nil
	case v.failed != nil:
		return keySet{}, v.failed
	}
	return keySet{}, refused(fmt.Sprintf("it is signed with the key %q, which %s does not have", cut(id), v.keys.Issuer), "does the token come from another cluster?")
}

// missing tells whether there is no key of that id that may still be used.
func (v *Verifier) missing(id string) bool {
	return len(v.keys.named(id)) == 0 || v.config.Now().Sub(v.keys.At) >= goodFor
}

// askIfDue begins to look for keys unless somebody does, or did a moment ago. It returns the look that goes on, or nil.
func (v *Verifier) askIfDue(missing bool) *asking {
	now := v.config.Now()
	due := missing || now.Sub(v.keys.At) >= renewAfter
	if v.asking != nil || !due || !v.asked.IsZero() && now.Sub(v.asked) < askAgain {
		return v.asking
	}
	v.asking, v.asked = &asking{done: make(chan struct{})}, now
	go v.renew(v.asking)
	return v.asking
}

// renew looks for keys on everybody's behalf, so it ends by its own bound only.
func (v *Verifier) renew(a *asking) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchWithin)
	defer cancel()
	found, err := v.fetch(ctx)
	if err == nil && len(found.Keys) == 0 {
		err = errors.New("it names no key that tokens could be signed with")
	}
	v.mu.Lock()
	if err == nil {
		found.Source, found.At = v.source(), v.config.Now()
		v.keys, v.failed = found, nil
	} else {
		v.failed = &pierhead.Problem{Kind: pierhead.ErrUnreachable, Cause: err,
			Text: fmt.Sprintf("service-account tokens cannot be verified now: the keys of %s cannot be had: %v", v.issuer(), err),
			Hint: "the operator looks at the way from this node to the cluster's issuer, and whether it shows its keys to this node; pods whose keys are known go on"}
	}
	v.asking = nil
	close(a.done)
	v.mu.Unlock()
	if err == nil {
		v.keep(found)
	}
}

// issuer is whom people are told of when keys cannot be had.
func (v *Verifier) issuer() string {
	if v.config.inPod() {
		return "this cluster's API server at " + v.config.APIServer
	}
	return v.config.Issuer
}

// source says by which configuration keys are had.
func (v *Verifier) source() string {
	return v.config.Issuer + " " + v.config.Keys + " " + v.config.APIServer
}

// keep writes keys down. That it cannot is no error of whoever asked: it only makes a restart depend on the issuer.
func (v *Verifier) keep(found keySet) {
	if v.config.Kept == "" {
		return
	}
	if text, err := json.Marshal(found); err == nil {
		_ = durable.WriteFile(durable.OS{}, v.config.Kept, text)
	}
}

// restore reads what keep wrote, if it is of the same source. An unreadable file is as none.
func (v *Verifier) restore() keySet {
	var kept keySet
	text, err := os.ReadFile(v.config.Kept)
	if v.config.Kept == "" || err != nil || json.Unmarshal(text, &kept) != nil || kept.Source != v.source() || v.config.Now().Before(kept.At) {
		return keySet{}
	}
	return kept
}
