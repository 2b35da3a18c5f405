package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
)

// A mountRule is what the operator of a node lets executions see of it. The agent checks it, not the server: a captured
// control plane must not be able to reach further.
type mountRule struct {
	allowed   []string // directories that executions may mount, or parts of them
	forbidden []string // never, whatever is allowed: the agent's own directory, its socket, the engine's
}

// admit returns the mounts as the engine gets them. Sources are resolved first, so that a symbolic link inside an
// allowed directory cannot lead out of it.
func (m mountRule) admit(mounts []pierhead.Mount) ([]engine.Mount, error) {
	var admitted []engine.Mount
	for _, mount := range mounts {
		source, err := m.resolve(mount.Source)
		if err != nil {
			return nil, err
		}
		if !filepath.IsAbs(mount.Destination) || filepath.Clean(mount.Destination) == "/" {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput,
				fmt.Sprintf("mount destination %q is not an absolute path below /", mount.Destination), "")
		}
		for _, path := range []string{source, mount.Destination} {
			if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == ',' || r == '"' }) {
				return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("mount path %q has a comma, a quote or a control character", path),
					"mount it under a plainer name: engines would read this one as something else")
			}
		}
		admitted = append(admitted, engine.Mount{Source: source, Destination: filepath.Clean(mount.Destination), ReadOnly: mount.ReadOnly})
	}
	return admitted, nil
}

func (m mountRule) resolve(source string) (string, error) {
	if !filepath.IsAbs(source) {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("mount source %q is not an absolute path", source), "")
	}
	real, err := filepath.EvalSymlinks(source)
	if err != nil {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("mount source %q is not on this node", source),
			"the operator makes the directory, or the step names another")
	}
	for _, path := range m.forbidden {
		if resolved, err := filepath.EvalSymlinks(path); err == nil && (within(real, resolved) || within(resolved, real)) {
			return "", pierhead.NewProblem(pierhead.ErrNotAllowed,
				fmt.Sprintf("mounting %s is refused: it holds keys or sockets of the node", source), "")
		}
	}
	for _, path := range m.allowed {
		if resolved, err := filepath.EvalSymlinks(path); err == nil && within(real, resolved) {
			return real, nil
		}
	}
	return "", pierhead.NewProblem(pierhead.ErrNotAllowed, fmt.Sprintf("mounting %s is refused: this node's operator did not list it", source),
		"the operator lists directories that executions may mount with --allow-mount DIR")
}

// within tells whether path is directory or lies below it; both are resolved and clean.
func within(path, directory string) bool {
	return path == directory || strings.HasPrefix(path, strings.TrimSuffix(directory, "/")+"/")
}
