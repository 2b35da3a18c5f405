package pierhead

import "time"

// An ExecutionState is where an execution stands. The last three are final.
type ExecutionState string

// The states, in order.
const (
	ExecutionQueued    ExecutionState = "queued"
	ExecutionPulling   ExecutionState = "pulling"
	ExecutionRunning   ExecutionState = "running"
	ExecutionSucceeded ExecutionState = "succeeded"
	ExecutionFailed    ExecutionState = "failed"
	ExecutionStopped   ExecutionState = "stopped"
)

// Final tells whether nothing more will happen.
func (s ExecutionState) Final() bool {
	return s == ExecutionSucceeded || s == ExecutionFailed || s == ExecutionStopped
}

// A Mount is a directory of the node seen in the container. The agent allows what its operator listed.
type Mount struct {
	Source      string // absolute, on the node
	Destination string // absolute, in the container
	ReadOnly    bool
}

// A Spec is what an execution runs; it never changes once submitted.
type Spec struct {
	Step        string            // the step's name
	Image       string            // the reference as written
	Command     []string          // lines, parameters already filled in
	Environment map[string]string // variables of the container
	Mounts      []Mount
	TimeLimit   time.Duration // zero: none
	PullPolicy  PullPolicy    // empty: always

	// RegistryLoginSecret is the reference of a secret whose login comes before all registries, or empty.
	RegistryLoginSecret string
}

// A PullPolicy says when the registry is asked for the image.
type PullPolicy string

// The policies. Under each, an image already on the node serves only callers whose own access was proved.
const (
	PullAlways       PullPolicy = "always"
	PullIfNotPresent PullPolicy = "if-not-present"
	PullNever        PullPolicy = "never"
)

// A Progress is what the node reports of an execution; zero fields are not known yet.
type Progress struct {
	State          ExecutionState
	Digest         string // of what the tag names: the index, where there is one
	PlatformDigest string // of the platform's manifest
	Registry       string // name of the registry whose credential served, empty for anonymous
	Anonymous      bool   // pulled without a credential because the registry's was not accepted or not meant for the host
	PulledBytes    int64  // of the image, so far
	ImageBytes     int64  // of the image, in all; layers that the node already has are not fetched
	ExitCode       *int   // of the container, once it ended
	Reason         string // why it failed or stopped, one sentence
	Hint           string // what to do about it
	PullFailed     bool   // the failure is one of pull or credential (exit code 7)
	StartedAt      time.Time
	FinishedAt     time.Time
}

// An Execution is one run of one container to its end.
type Execution struct {
	ID             string // "exe_…"
	Project        string // full name
	ProjectID      string
	OrganizationID string // empty in a personal project
	CreatedBy      string // the caller's name
	Spec           Spec
	NodeID         string // empty until a node took it
	StopRequested  bool
	Progress       Progress
	LogSize        int64 // bytes of log that the control plane has
	CreatedAt      time.Time
}
