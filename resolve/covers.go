package resolve

import "pierhead.dev/pierhead/image"

// CoversHost tells whether an enabled registry has a pattern for a canonical host, whoever may use it.
func (t *Table) CoversHost(canonical string) bool {
	if number := t.findHost(canonical); number != none && t.isOwned(number) {
		return true
	}
	for _, number := range t.globHosts {
		if t.isOwned(number) && image.MatchHost(t.hosts[number].name, canonical) {
			return true
		}
	}
	return false
}

func (t *Table) isOwned(host uint32) bool {
	return t.hosts[host].owners.first < t.hosts[host].owners.end
}
