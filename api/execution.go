package api

import (
	"time"

	"pierhead.dev/pierhead"
)

// A Mount is a directory of the node seen in the container. The agent allows what its operator listed.
type Mount struct {
	Source      string `json:"source" doc:"Absolute path on the node."`
	Destination string `json:"destination" doc:"Absolute path in the container."`
	ReadOnly    bool   `json:"read_only,omitempty"`
}

// A Spec is what an execution runs.
type Spec struct {
	Step             string            `json:"step,omitempty" doc:"The step's name."`
	Image            string            `json:"image" doc:"The reference as written."`
	Command          []string          `json:"command,omitempty" doc:"Lines, parameters already filled in."`
	Environment      map[string]string `json:"environment,omitempty" doc:"Variables of the container."`
	Mounts           []Mount           `json:"mounts,omitempty"`
	TimeLimitSeconds int64             `json:"time_limit_seconds,omitempty" doc:"0: none."`
	PullPolicy       string            `json:"pull_policy,omitempty" enum:"always,if-not-present,never" doc:"Absent: always."`

	RegistryLoginSecret string `json:"registry_login_secret,omitempty" doc:"Reference of a secret with the login for the image's host; it comes before all registries. A member may name what an admin allowed."`
}

// SpecOf converts the noun.
func SpecOf(s pierhead.Spec) Spec {
	return Spec{
		Step: s.Step, Image: s.Image, Command: s.Command, Environment: s.Environment,
		Mounts:           mapped(s.Mounts, func(m pierhead.Mount) Mount { return Mount(m) }),
		TimeLimitSeconds: int64((s.TimeLimit + time.Second - 1) / time.Second), PullPolicy: string(s.PullPolicy),
		RegistryLoginSecret: s.RegistryLoginSecret,
	}
}

// maxTimeLimit is the longest time limit, in seconds: 10 years, well below where a time.Duration overflows.
const maxTimeLimit = 10 * 365 * 24 * 60 * 60

// Noun converts back.
func (s Spec) Noun() (pierhead.Spec, error) {
	if s.TimeLimitSeconds < 0 || s.TimeLimitSeconds > maxTimeLimit {
		return pierhead.Spec{}, pierhead.NewProblem(pierhead.ErrBadInput, "time_limit_seconds is out of range", "it is between 0, for none, and 315360000")
	}
	return s.plainNoun(), nil
}

func (s Spec) plainNoun() pierhead.Spec {
	return pierhead.Spec{
		Step: s.Step, Image: s.Image, Command: s.Command, Environment: s.Environment,
		Mounts:    mapped(s.Mounts, func(m Mount) pierhead.Mount { return pierhead.Mount(m) }),
		TimeLimit: time.Duration(s.TimeLimitSeconds) * time.Second, PullPolicy: pierhead.PullPolicy(s.PullPolicy),
		RegistryLoginSecret: s.RegistryLoginSecret,
	}
}

// A NewExecution is the body of POST /executions.
type NewExecution struct {
	Project string `json:"project" doc:"<owner>/<name>."`
	Spec    Spec   `json:"spec"`
}

// A Progress is how far an execution came; a node reports it.
type Progress struct {
	State          string     `json:"state" enum:"queued,pulling,running,succeeded,failed,stopped"`
	Digest         string     `json:"digest,omitempty" doc:"Of what the tag names: the index, where there is one."`
	PlatformDigest string     `json:"platform_digest,omitempty" doc:"Of the platform's manifest."`
	Registry       string     `json:"registry,omitempty" doc:"The registry whose credential served; empty for anonymous."`
	Anonymous      bool       `json:"anonymous,omitempty" doc:"Whether the registry's credential was given up and the image pulled without."`
	PulledBytes    int64      `json:"pulled_bytes,omitempty" doc:"Of the image, so far."`
	ImageBytes     int64      `json:"image_bytes,omitempty" doc:"Of the image, in all; layers that the node has already are not fetched."`
	ExitCode       *int       `json:"exit_code,omitempty" doc:"Of the container, once it ended."`
	Reason         string     `json:"reason,omitempty" doc:"Why it failed or stopped."`
	Hint           string     `json:"hint,omitempty" doc:"What to do about it."`
	PullFailed     bool       `json:"pull_failed,omitempty" doc:"Whether the failure is one of pull or credential."`
	StartedAt      *time.Time `json:"started_at,omitempty"`
	FinishedAt     *time.Time `json:"finished_at,omitempty"`
}

// ProgressOf converts the noun.
func ProgressOf(p pierhead.Progress) Progress {
	return Progress{
		State: string(p.State), Digest: p.Digest, PlatformDigest: p.PlatformDigest, Registry: p.Registry, Anonymous: p.Anonymous,
		PulledBytes: p.PulledBytes, ImageBytes: p.ImageBytes,
		ExitCode: p.ExitCode, Reason: p.Reason, Hint: p.Hint, PullFailed: p.PullFailed,
		StartedAt: timeOf(p.StartedAt), FinishedAt: timeOf(p.FinishedAt),
	}
}

// Noun converts back; an unknown state is the store's to refuse.
func (p Progress) Noun() pierhead.Progress {
	return pierhead.Progress{
		State: pierhead.ExecutionState(p.State), Digest: p.Digest, PlatformDigest: p.PlatformDigest, Registry: p.Registry, Anonymous: p.Anonymous,
		PulledBytes: p.PulledBytes, ImageBytes: p.ImageBytes,
		ExitCode: p.ExitCode, Reason: p.Reason, Hint: p.Hint, PullFailed: p.PullFailed,
		StartedAt: nounTime(p.StartedAt), FinishedAt: nounTime(p.FinishedAt),
	}
}

// An Execution is one run of one container.
type Execution struct {
	ID             string `json:"id"`
	Project        string `json:"project" doc:"<owner>/<name>."`
	ProjectID      string `json:"project_id"`
	OrganizationID string `json:"organization_id,omitempty" doc:"Empty in a personal project."`
	CreatedBy      string `json:"created_by"`
	Spec           Spec   `json:"spec"`
	NodeID         string `json:"node_id,omitempty" doc:"Empty until a node took it."`
	StopRequested  bool   `json:"stop_requested,omitempty"`
	Progress
	LogSizeBytes int64     `json:"log_size_bytes" doc:"How much of its log the server has."`
	CreatedAt    time.Time `json:"created_at"`
}

// ExecutionOf converts the noun.
func ExecutionOf(e pierhead.Execution) Execution {
	return Execution{
		ID: e.ID, Project: e.Project, ProjectID: e.ProjectID, OrganizationID: e.OrganizationID, CreatedBy: e.CreatedBy,
		Spec: SpecOf(e.Spec), NodeID: e.NodeID, StopRequested: e.StopRequested, Progress: ProgressOf(e.Progress),
		LogSizeBytes: e.LogSize, CreatedAt: e.CreatedAt,
	}
}

// Noun converts back.
func (e Execution) Noun() pierhead.Execution {
	return pierhead.Execution{
		ID: e.ID, Project: e.Project, ProjectID: e.ProjectID, OrganizationID: e.OrganizationID, CreatedBy: e.CreatedBy,
		Spec: e.Spec.plainNoun(), NodeID: e.NodeID, StopRequested: e.StopRequested, Progress: e.Progress.Noun(),
		LogSize: e.LogSizeBytes, CreatedAt: e.CreatedAt,
	}
}

// Final tells whether nothing more will happen.
func (e Execution) Final() bool { return pierhead.ExecutionState(e.State).Final() }

// An ExecutionList is the answer to GET /executions, newest first.
type ExecutionList struct {
	Executions []Execution `json:"executions"`
}

// ExecutionsOf converts a list.
func ExecutionsOf(list []pierhead.Execution) ExecutionList {
	return ExecutionList{mapped(list, ExecutionOf)}
}
