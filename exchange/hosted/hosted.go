// Package hosted logs a node in to the control plane's own registry: with the node's token, at that registry's host and
// nowhere else. The token service makes of it a registry token for what the node's organizations own.
package hosted

import (
	"context"
	"fmt"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
)

// An Exchanger hands out the node's own login.
type Exchanger struct {
	Host     func() string // the hosted registry's canonical host, "" while it is not known
	Username string        // the node's name; the token service looks at the token
	Token    func() string // the node's token

	// Pull makes a token that the registry itself takes, and says when it ends: a node that joined has a grant for that, and
	// needs no token service. Nil: Token is for the token service.
	Pull func(ctx context.Context) (token string, expires time.Time, err error)
}

// Exchange implements exchange.Exchanger. Errors: exchange.ErrHostMismatch for every host but the hosted registry's,
// exchange.ErrUnreachable while that is not known.
func (e Exchanger) Exchange(ctx context.Context, r exchange.Request) (credential.Credential, error) {
	host := e.Host()
	if host == "" {
		return credential.Credential{}, fmt.Errorf("%w: the hosted registry's address is not known yet", exchange.ErrUnreachable)
	}
	if r.Host != host {
		return credential.Credential{}, fmt.Errorf("%w: the node's login is for %s, not for %s", exchange.ErrHostMismatch, host, r.Host)
	}
	if e.Pull != nil {
		token, expires, err := e.Pull(ctx)
		if err != nil {
			return credential.Credential{}, err
		}
		return credential.New(e.Username, token, expires, []string{host}).AsBearer(), nil
	}
	return credential.New(e.Username, e.Token(), time.Time{}, []string{host}), nil
}
