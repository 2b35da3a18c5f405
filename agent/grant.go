package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/ids"
)

// grantFile is the node's grant for the hosted registry. It is no secret: without the node's key it opens nothing.
const grantFile = "registry-grant.json"

// grantEvery is how often the grant is renewed: it lives for a day, so a node that loses its control plane pulls from the
// hosted registry for almost as long.
const grantEvery = 15 * time.Minute

// grantWithin bounds how long a pull waits for a grant where there is none that counts.
const grantWithin = 10 * time.Second

type registryGrant = api.RegistryGrant

func (i *Identity) openGrant() {
	text, err := os.ReadFile(filepath.Join(i.directory, grantFile))
	var kept registryGrant
	if err == nil && json.Unmarshal(text, &kept) == nil { // what is not there or unreadable is taken anew
		i.grant = kept
	}
}

// PullToken is the node's login at the hosted registry, which the registry verifies by itself. Errors: exchange.ErrUnreachable
// when there is no grant that counts and the control plane gives none.
func (i *Identity) PullToken(ctx context.Context) (string, time.Time, error) {
	i.mu.Lock()
	grant := i.grant
	i.mu.Unlock()
	now := i.now()
	if grant.Grant == "" || !now.Before(grant.ExpiresAt) {
		var err error
		if grant, err = i.takeGrant(ctx); err != nil {
			return "", time.Time{}, fmt.Errorf("%w: this node has no valid grant for the hosted registry, and the control plane, which gives one for a day, gives none: %v", exchange.ErrUnreachable, err)
		}
	}
	text, expires, err := i.key.SignPull(grant.Grant, grant.Service, ids.New("jwt"), now)
	if grant.ExpiresAt.Before(expires) {
		expires = grant.ExpiresAt
	}
	return text, expires, err
}

// takeGrant asks for a grant, and uses and keeps it.
func (i *Identity) takeGrant(ctx context.Context) (registryGrant, error) {
	ctx, cancel := context.WithTimeout(ctx, grantWithin)
	defer cancel()
	grant, err := i.client.RegistryGrant(ctx)
	if err != nil {
		return registryGrant{}, err
	}
	i.mu.Lock()
	i.grant = grant
	i.mu.Unlock()
	text, err := json.Marshal(grant)
	if err == nil {
		err = durable.WriteFile(durable.OS{}, filepath.Join(i.directory, grantFile), text)
	}
	if err != nil {
		i.log.Error("the grant for the hosted registry is in use but could not be kept", "error", err)
	}
	return grant, nil
}

// followGrant keeps the grant fresh until ctx ends.
func (i *Identity) followGrant(ctx context.Context, a *Agent) error {
	for {
		err := a.persist(ctx, "taking a grant for the hosted registry", func() error { _, err := i.takeGrant(ctx); return err })
		if err != nil && ctx.Err() == nil {
			a.Log.Error("the control plane gives no grant for the hosted registry", "error", err)
		}
		timer := time.NewTimer(grantEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
