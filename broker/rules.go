package broker

import (
	"slices"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/image"
)

// ownNetworks is where the control plane's own registry may be: a private network is where most are.
var ownNetworks = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"}

// rules says by which ways a reference's host may be reached. The zero registry stands for no registry: https and
// public addresses only.
func (b *Broker) rules(registry pierhead.Registry, reference image.Reference) egress.Rules {
	rules := egress.Rules{
		Host: reference.DialHost(), PlainHTTP: registry.PlainHTTP, CA: registry.CA, Realms: registry.Realms, Proxy: registry.Proxy,
		PrivateNetworks: slices.Concat(b.PrivateNetworks, registry.PrivateNetworks),
	}
	hosts, _ := image.LiteralHosts(registry.Match)
	for _, host := range hosts {
		rules.Listed = append(rules.Listed, image.DialHost(host))
	}
	if registry.Type == pierhead.RegistryHosted {
		rules.CA += "\n" + b.ServerCA // PEM begins on a line of its own
		rules.PrivateNetworks = append(rules.PrivateNetworks, ownNetworks...)
	}
	return rules
}
