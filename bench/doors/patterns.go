package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"pierhead.dev/pierhead"
)

// perHost is how many patterns a host has, all of one registry: as in the fleets of package resolve's benchmarks.
const perHost = 10

// fill puts so many patterns into a snapshot as an agent keeps it, and tells its size.
func fill(path string, patterns int) (size int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var kept pierhead.Snapshot
	if err := json.Unmarshal(text, &kept); err != nil {
		return 0, err
	}
	if len(kept.Organizations) != 1 {
		return 0, fmt.Errorf("%s has %d organizations", path, len(kept.Organizations))
	}
	home := &kept.Organizations[0]
	home.Registries = registries(home.Organization.ID, patterns)
	if text, err = json.Marshal(kept); err != nil {
		return 0, err
	}
	return len(text), os.WriteFile(path, text, 0o600)
}

// registries have so many patterns, in the way that organizations have them: one for all of a host, and others for parts.
func registries(organization string, patterns int) (all []pierhead.Registry) {
	for i := range hostsOf(patterns) {
		r := pierhead.Registry{ID: fmt.Sprintf("reg_%016d", i), OrganizationID: organization, Name: fmt.Sprint("registry-", i), Type: pierhead.RegistryGeneric, Enabled: true,
			Credential: pierhead.RegistryCredential{Secret: "file:login"}, WhenRefused: pierhead.RefusedAnonymous, Projects: pierhead.ProjectScope{All: true},
			CreatedAt: time.Now(), UpdatedAt: time.Now()}
		for j := range perHost {
			r.Match = append(r.Match, pattern(hostName(i), j))
		}
		all = append(all, r)
	}
	return all
}

// hostsOf is on how many hosts so many patterns are.
func hostsOf(patterns int) int { return patterns / perHost }

func hostName(i int) string { return fmt.Sprintf("registry-%d.team-%d.example.com:5000", i, i%97) }

func pattern(host string, i int) string {
	switch {
	case i == 0:
		return host + "/*"
	case i < 6:
		return fmt.Sprintf("%s/team-%d/*", host, i)
	case i < 8:
		return fmt.Sprintf("%s/team-%d/project-%d/application-%d", host, i, i, i)
	}
	return fmt.Sprintf("%s/shared/application-%d:v%d*", host, i, i)
}
