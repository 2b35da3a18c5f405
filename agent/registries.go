package agent

import (
	"context"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/doors"
)

// registries tells what other tools' configuration needs of the registries that the doors answer for. Those that serve
// nobody are left out.
func (a *Agent) registries(ctx context.Context, _ doors.Ask) (doors.Registries, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, doors.DockerWithin)
	defer cancel()
	home, _, err := a.Snapshot.wholeHome(ctx, a.Organization)
	if err != nil {
		return doors.Registries{}, refused(err)
	}
	told := doors.Registries{Organization: home.Organization.Name, Mirror: a.mirror.Address(), Registries: []doors.Registry{}}
	for _, r := range home.Registries {
		if r.Enabled && (r.Projects.All || len(r.Projects.Names) > 0) {
			told.Registries = append(told.Registries, doors.Registry{Name: r.Name, Type: string(r.Type), Match: r.Match, Projects: r.Projects.Names,
				WholeHost: r.Helper == pierhead.HelperWholeHost, PlainHTTP: r.PlainHTTP, OwnCA: r.CA != "", Login: r.HasCredential()})
		}
	}
	return told, nil
}
