package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// CreateExecution submits a run of one container to a project; a node takes it from the queue. An empty PullPolicy
// becomes always. Errors: ErrBadInput, saying which part of spec is wrong.
func (s *Store) CreateExecution(ctx context.Context, c pierhead.Caller, ownerName, projectName string, spec pierhead.Spec) (pierhead.Execution, error) {
	var x execution
	err := s.change(ctx, c, access.ExecutionCreate, "project "+ownerName+"/"+projectName, func(k *call) error {
		p, err := k.project(access.ExecutionCreate, ownerName, projectName)
		if err != nil {
			return err
		}
		if spec.PullPolicy == "" {
			spec.PullPolicy = pierhead.PullAlways
		}
		if err := checkSpec(spec); err != nil {
			return err
		}
		if err := k.checkLoginSecret(p, spec.RegistryLoginSecret); err != nil {
			return err
		}
		text, err := marshalSpec(spec)
		if err != nil {
			return err
		}
		id := ids.New("exe")
		if _, err := k.exec(`INSERT INTO executions (id, project_id, owner_id, created_by, spec, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			id, p.id, p.owner.id, c.Name, text, string(pierhead.ExecutionQueued), micros(k.at)); err != nil {
			return err
		}
		k.note("project", p.noun().FullName())
		k.note("image", spec.Image)
		if spec.RegistryLoginSecret != "" {
			k.note("secret", spec.RegistryLoginSecret)
		}
		k.entry.Object = "execution " + id
		x, err = k.execution(id)
		return err
	})
	if err != nil {
		return pierhead.Execution{}, err
	}
	return x.noun, nil
}

// Execution finds an execution by its ID: for members of the organization, the owner of a personal project, and the
// node that it was given to.
func (s *Store) Execution(ctx context.Context, c pierhead.Caller, id string) (pierhead.Execution, error) {
	var x execution
	err := s.view(ctx, c, access.ExecutionShow, "execution "+id, func(k *call) (err error) {
		x, err = k.allowedExecution(access.ExecutionShow, id)
		return err
	})
	if err != nil {
		return pierhead.Execution{}, err
	}
	return x.noun, nil
}

// StopExecution asks for an execution's end. One that no node took yet ends here and now; for others the node finds
// StopRequested in its work, and the state is stopped when it says so. An execution that ended already stays as it is.
func (s *Store) StopExecution(ctx context.Context, c pierhead.Caller, id string) (pierhead.Execution, error) {
	var x execution
	err := s.change(ctx, c, access.ExecutionStop, "execution "+id, func(k *call) error {
		var err error
		if x, err = k.allowedExecution(access.ExecutionStop, id); err != nil {
			return err
		}
		if x.noun.Progress.State.Final() || x.noun.StopRequested {
			k.nothing = true
			k.note("state", string(x.noun.Progress.State))
			return nil
		}
		x.noun.StopRequested = true
		if x.noun.NodeID == "" {
			x.noun.Progress = stopped(x.noun.Progress, k.at)
		}
		if _, err := k.exec(`UPDATE executions SET stop_requested = 1 WHERE seq = ?`, x.seq); err != nil {
			return err
		}
		return k.putProgress(x)
	})
	if err != nil {
		return pierhead.Execution{}, err
	}
	return x.noun, nil
}

// An execution is a row of executions.
type execution struct {
	seq     int64
	ownerID string
	person  bool // the owner is one
	noun    pierhead.Execution
}

const executionColumns = `e.seq, e.owner_id, o.kind = 'person', e.id, o.name || '/' || p.name, e.project_id, e.created_by, e.spec, COALESCE(e.node_id, ''),
	e.stop_requested, e.state, e.digest, e.platform_digest, e.registry, e.anonymous, e.exit_code, e.reason, e.hint, e.pull_failed,
	e.pulled_bytes, e.image_bytes, e.started_at, e.finished_at, e.log_size, e.created_at
	FROM executions e JOIN projects p ON p.id = e.project_id JOIN owners o ON o.id = e.owner_id`

func scanExecution(row scanner) (execution, error) {
	var x execution
	var spec string
	var started, finished, created int64
	n, p := &x.noun, &x.noun.Progress
	err := row.Scan(&x.seq, &x.ownerID, &x.person, &n.ID, &n.Project, &n.ProjectID, &n.CreatedBy, &spec, &n.NodeID,
		&n.StopRequested, &p.State, &p.Digest, &p.PlatformDigest, &p.Registry, &p.Anonymous, &p.ExitCode, &p.Reason, &p.Hint, &p.PullFailed,
		&p.PulledBytes, &p.ImageBytes, &started, &finished, &n.LogSize, &created)
	if err != nil {
		return x, err
	}
	if !x.person {
		n.OrganizationID = x.ownerID
	}
	p.StartedAt, p.FinishedAt, n.CreatedAt = fromMicros(started), fromMicros(finished), fromMicros(created)
	if n.Spec, err = unmarshalSpec(spec); err != nil {
		return x, fmt.Errorf("spec of execution %s: %w", n.ID, err)
	}
	return x, nil
}

func (x execution) target() access.Target {
	return owner{id: x.ownerID, name: x.noun.ID, person: x.person}.executionTarget(x.noun.NodeID)
}

// executionTarget is an execution as what an action is done to: its owner's, and the node's that it was given to.
func (o owner) executionTarget(nodeID string) access.Target {
	t := o.target("execution")
	t.NodeID = nodeID
	return t
}

func (k *call) execution(id string) (execution, error) {
	x, err := scanExecution(k.tx.QueryRowContext(k.ctx, `SELECT `+executionColumns+` WHERE e.id = ?`, id))
	if err != nil {
		return execution{}, missing(err, "execution", id)
	}
	return x, nil
}

// allowedExecution finds one, and asks whether the caller may do a to it.
func (k *call) allowedExecution(a access.Action, id string) (execution, error) {
	x, err := k.execution(id)
	if err != nil {
		return execution{}, err
	}
	return x, k.allow(a, x.target())
}

// putProgress writes x.noun.Progress.
func (k *call) putProgress(x execution) error {
	p := x.noun.Progress
	_, err := k.exec(`UPDATE executions SET state = ?, digest = ?, platform_digest = ?, registry = ?, anonymous = ?, exit_code = ?,
		reason = ?, hint = ?, pull_failed = ?, pulled_bytes = ?, image_bytes = ?, started_at = ?, finished_at = ? WHERE seq = ?`,
		string(p.State), p.Digest, p.PlatformDigest, p.Registry, p.Anonymous, p.ExitCode,
		p.Reason, p.Hint, p.PullFailed, p.PulledBytes, p.ImageBytes, micros(p.StartedAt), micros(p.FinishedAt), x.seq)
	return err
}

// storedSpec is the column "spec" of executions. Rows of every earlier version are read with it: fields may be added,
// and never change their name or meaning.
type storedSpec struct {
	Step        string            `json:"step"`
	Image       string            `json:"image"`
	Command     []string          `json:"command,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	Mounts      []storedMount     `json:"mounts,omitempty"`
	TimeLimit   int64             `json:"time_limit_ns,omitempty"`
	PullPolicy  string            `json:"pull_policy,omitempty"`

	RegistryLoginSecret string `json:"registry_login_secret,omitempty"`
}

type storedMount struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	ReadOnly    bool   `json:"read_only,omitempty"`
}

func marshalSpec(spec pierhead.Spec) (string, error) {
	stored := storedSpec{
		Step: spec.Step, Image: spec.Image, Command: spec.Command, Environment: spec.Environment,
		TimeLimit: int64(spec.TimeLimit), PullPolicy: string(spec.PullPolicy),
		RegistryLoginSecret: spec.RegistryLoginSecret,
	}
	for _, m := range spec.Mounts {
		stored.Mounts = append(stored.Mounts, storedMount(m))
	}
	text, err := json.Marshal(stored)
	if err == nil && len(text) > maxSpec {
		return "", badInput("the execution is described by more than %d KiB", "put large inputs into the image or a mounted directory", maxSpec>>10)
	}
	return string(text), err
}

func unmarshalSpec(text string) (pierhead.Spec, error) {
	var stored storedSpec
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return pierhead.Spec{}, err
	}
	spec := pierhead.Spec{
		Step: stored.Step, Image: stored.Image, Command: stored.Command, Environment: stored.Environment,
		TimeLimit: time.Duration(stored.TimeLimit), PullPolicy: pierhead.PullPolicy(stored.PullPolicy),
		RegistryLoginSecret: stored.RegistryLoginSecret,
	}
	for _, m := range stored.Mounts {
		spec.Mounts = append(spec.Mounts, pierhead.Mount(m))
	}
	return spec, nil
}
