// Package doors is what programs beside pier say to the agent of their node: the Docker credential helper, the kubelet's
// credential provider, and `pier node` itself. The agent serves HTTP/1 with JSON bodies on a unix socket; whoever may open
// the socket may ask, and asks as the node's organization.
//
// The helpers link this package and start within milliseconds, so it imports next to nothing.
package doors

import "time"

// The paths on the socket. The first two are POST with an Ask, the others GET.
const (
	PathCredential = "/v1/credential" // a Loan; 404: a Refusal, there is none; any other status: a Refusal, there is one but it cannot be had
	PathExplain    = "/v1/explain"    // an api.Explanation of what the door would get
	PathHosts      = "/v1/hosts"      // Hosts
	PathStatus     = "/v1/status"     // Status
	PathRegistries = "/v1/registries" // Registries
)

// SystemSocket is where the agent of a machine listens, and SocketVariable names another place.
const (
	SystemSocket   = "/run/pierhead/agent.sock"
	SocketVariable = "PIER_SOCKET"
)

// Sockets are the places of an agent's socket, the likeliest first: the variable's alone; the user's own agent's, and the
// machine's.
func Sockets(root bool, env func(string) string) []string {
	if path := env(SocketVariable); path != "" {
		return []string{path}
	}
	if directory := env("XDG_RUNTIME_DIR"); directory != "" && !root {
		return []string{directory + "/pierhead/agent.sock", SystemSocket}
	}
	return []string{SystemSocket}
}

// DockerWithin is how long the agent takes at most to answer the Docker helper; the helper itself ends soon after.
const DockerWithin = 4 * time.Second

// KubeletWithin is the same for the kubelet's credential provider. The kubelet would wait for a minute, and by default pulls
// one image at a time: the node's other pods wait too. It asks again after ten seconds, and finds ready what took longer.
const KubeletWithin = 10 * time.Second

// A Door says by which way somebody comes, and so how much is known: the Docker helper knows a host, the kubelet an image
// without its tag, the mirror host and repository.
type Door string

// The doors.
const (
	Docker  Door = "docker"
	Kubelet Door = "kubelet"
	Mirror  Door = "mirror"
)

// An Ask is a question for a credential. Host is set by the Docker helper, Image by the others.
type Ask struct {
	Door                Door   `json:"door"`
	Host                string `json:"host,omitempty"`  // as the client has it: "registry.example.com:5000", "https://index.docker.io/v1/"
	Image               string `json:"image,omitempty"` // "host/repository", perhaps with tag and digest
	ServiceAccountToken string `json:"service_account_token,omitempty"`
}

// A Reach says which images a lent credential is right for.
type Reach string

// The reaches: every image of the host, or this repository alone.
const (
	ReachHost       Reach = "host"
	ReachRepository Reach = "repository"
)

// A Loan is a credential for pulling, lent to a runtime.
type Loan struct {
	Username  string    `json:"username"`
	Password  string    `json:"password"`
	Host      string    `json:"host"` // canonical: the one host that it is for
	Reach     Reach     `json:"reach"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: not known
	CacheFor  int64     `json:"cache_for_seconds"`   // how long the runtime may keep it; 0: not at all
	Registry  string    `json:"registry,omitempty"`  // whose login it is
	Warning   string    `json:"warning,omitempty"`   // for stderr
}

// A Refusal says in one line why there is no credential, and what to do.
type Refusal struct {
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

// Hosts are the hosts for which the Docker door would lend a credential, with the user name that is known without asking
// anybody, or "".
type Hosts struct {
	Hosts map[string]string `json:"hosts"`
}

// Registries are what other tools' configuration needs of the organization's registries, as the node has them now, and where
// its mirror is.
type Registries struct {
	Organization string     `json:"organization"`
	Mirror       string     `json:"mirror"` // "127.0.0.1:5050"
	Registries   []Registry `json:"registries"`
}

// A Registry is one of them, without anything about its login but whether there is one.
type Registry struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Match     []string `json:"match"`
	Projects  []string `json:"projects,omitempty"` // that may use it; none: all
	WholeHost bool     `json:"whole_host,omitempty"`
	PlainHTTP bool     `json:"plain_http,omitempty"`
	OwnCA     bool     `json:"own_ca,omitempty"`
	Login     bool     `json:"login,omitempty"`
}

// A Status is how the node is.
type Status struct {
	Node          string    `json:"node"`
	Organization  string    `json:"organization"`
	Version       string    `json:"version"`
	Server        string    `json:"server"`
	LastContactAt time.Time `json:"last_contact_at,omitzero"` // with the control plane
	SnapshotAge   int64     `json:"snapshot_age_seconds"`     // since the snapshot in use was confirmed; -1: there is none
	Mirror        string    `json:"mirror"`                   // "127.0.0.1:5050"
	Waiting       int       `json:"waiting_events"`           // not delivered yet
	Troubles      []Trouble `json:"troubles"`                 // newest first: what runtimes hide
}

// A Trouble is a question of a runtime that ended badly.
type Trouble struct {
	At     time.Time `json:"at"`
	Door   Door      `json:"door"`
	Asked  string    `json:"asked"` // host or image
	Reason string    `json:"reason"`
	Hint   string    `json:"hint,omitempty"`
}
