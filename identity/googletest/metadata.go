package googletest

import (
	"net/http"
	"strings"
	"time"
)

// A Machine is a virtual machine with a metadata server.
type Machine struct {
	Email  string          // its service account, "" for none
	Scopes []string        // its access scopes; Scope where there are none
	Life   time.Duration   // of the tokens that it hands out, 0 for nearly an hour
	Aged   []time.Duration // what the first answers have left of their lives: the server hands out what it has kept
}

// Machine puts the metadata server into place; before that nobody answers at its addresses.
func (c *Cloud) Machine(m Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(m.Scopes) == 0 {
		m.Scopes = []string{Scope}
	}
	if m.Life == 0 {
		m.Life = maxLifetime - time.Second
	}
	c.machine, c.kept = &m, ""
}

// renewed is when the metadata server makes a new token: the old one has less left.
const renewed = 4 * time.Minute

// metadata is the machine's metadata server.
func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	w.Header().Set("Server", "Metadata Server for VM")
	switch {
	case r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "Request contains X-Forwarded-For", http.StatusForbidden)
		return
	case r.Header.Get("Metadata-Flavor") != "Google":
		http.Error(w, `Missing Metadata-Flavor:Google header.`, http.StatusForbidden)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/computeMetadata/v1/")
	switch {
	case !ok || r.Method != http.MethodGet:
		http.NotFound(w, r)
	case path == "instance/service-accounts/default/email":
		if c.begin(w, r, OpEmail) {
			c.email(w, r)
		}
	case path == "instance/service-accounts/default/token":
		if c.begin(w, r, OpMachineToken) {
			c.machineToken(w, r)
		}
	default:
		http.NotFound(w, r)
	}
}

func (c *Cloud) email(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.machine == nil || c.machine.Email == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/text")
	_, _ = w.Write([]byte(c.machine.Email))
}

func (c *Cloud) machineToken(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.machine
	if m == nil || m.Email == "" {
		http.NotFound(w, r)
		return
	}
	if account := c.accounts[m.Email]; account != nil && account.disabled {
		http.Error(w, "Unable to generate access token; the service account is disabled", http.StatusForbidden)
		return
	}
	if len(m.Aged) > 0 {
		life := m.Aged[0]
		m.Aged = m.Aged[1:]
		c.handOut(w, c.issue(m.Email, life, m.Scopes))
		return
	}
	if left := time.Until(c.tokens[c.kept].expires); left < min(renewed, m.Life/2) {
		c.kept = c.issue(m.Email, m.Life, m.Scopes)
	}
	c.handOut(w, c.kept)
}

func (c *Cloud) handOut(w http.ResponseWriter, token string) {
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": int(time.Until(c.tokens[token].expires).Seconds()), "token_type": "Bearer"})
}
