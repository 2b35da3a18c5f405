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
	organization, _, err := a.Snapshot.home(ctx, a.Organization)
	if err != nil {
		return doors.Registries{}, refused(err)
	}
	told := doors.Registries{Organization: organization.Name, Mirror: a.mirror.Address(), Registries: []doors.Registry{}}
	o, err := chosen(a.Snapshot.current.Load().snapshot.Organizations, organization.Name)
	if err != nil { // it went in this moment
		return doors.Registries{}, refused(err)
	}
	for _, r := range o.Registries {
		if r.Enabled && (r.Projects.All || len(r.Projects.Names) > 0) {
			told.Registries = append(told.Registries, doors.Registry{Name: r.Name, Type: string(r.Type), Match: r.Match, Projects: r.Projects.Names,
				WholeHost: r.Helper == pierhead.HelperWholeHost, PlainHTTP: r.PlainHTTP, OwnCA: r.CA != "", Login: r.HasCredential()})
		}
	}
	return told, nil
}
