package main

import (
	"context"
	"fmt"

	"pierhead.dev/pierhead"
)

// firstContext writes the administrator's context at the first start, so that pier's commands work at once for the user
// who started it. A context of that name that is there already, for another server, stays what it is.
func (p *program) firstContext(ctx context.Context, plane *controlPlane) error {
	if plane.admin == "" {
		return nil
	}
	file, err := p.readContexts()
	if err != nil {
		return err
	}
	name := "default"
	if old, taken := file.Contexts[name]; taken && old.Server != plane.URL {
		name = hostOf(plane.URL)
	}
	file.Contexts[name] = clientContext{Server: plane.URL, Token: plane.admin, CA: string(plane.CA)}
	file.Current = name
	path, err := p.contextsPath()
	if err != nil {
		return err
	}
	if err := p.writeContexts(file); err != nil {
		return &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err, Text: fmt.Sprintf("the administrator's context cannot be written to %s: %v", path, err),
			Hint: "say --contexts FILE, and start again: the token is made anew"}
	}
	p.note("First start: %s is the administrator; the context %q with a token is in %s", plane.person, name, path)
	return ctx.Err()
}
