package googletest

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// States of a secret's version.
const (
	Enabled   = "ENABLED"
	Disabled  = "DISABLED"
	Destroyed = "DESTROYED"
)

// stored is one secret.
type stored struct {
	versions []version // the first is number 1
	corrupt  bool
	aliases  map[string]int
}

type version struct {
	payload []byte
	state   string
}

// PutSecret adds a version to the secret "projects/P/secrets/S" or "projects/P/locations/L/secrets/S", and makes the secret
// where it is not there. It returns the version's number.
func (c *Cloud) PutSecret(name string, payload []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stored[name]
	if s == nil {
		s = &stored{aliases: map[string]int{}}
		c.stored[name] = s
	}
	s.versions = append(s.versions, version{payload: append([]byte(nil), payload...), state: Enabled})
	if len(payload) > 0 {
		c.remember(string(payload))
	}
	return len(s.versions)
}

// SetVersion sets the state of a secret's version.
func (c *Cloud) SetVersion(name string, number int, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored[name].versions[number-1].state = state
}

// Alias names a version of a secret.
func (c *Cloud) Alias(name, alias string, number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored[name].aliases[alias] = number
}

// Corrupt makes the payloads of a secret arrive damaged: they no longer have their checksum.
func (c *Cloud) Corrupt(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored[name].corrupt = true
}

var accessPath = regexp.MustCompile(`^/v1/((projects/[^/]+)(?:/locations/([^/]+))?/secrets/([A-Za-z0-9_-]{1,255}))/versions/([A-Za-z0-9_-]+):access$`)

// secretManager is one of its endpoints: that of a location, or with "" the global one. Neither knows the other's secrets.
func (c *Cloud) secretManager(location string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := accessPath.FindStringSubmatch(r.URL.Path)
		if r.Method != http.MethodGet || parts == nil || parts[3] != location {
			methodNotAllowed(w, r)
			return
		}
		if c.begin(w, r, OpAccess) {
			c.access(w, r, parts[1], parts[2], parts[5])
		}
	})
}

// number is the version that a name means.
func (s *stored) number(wanted string) (int, bool) {
	if n, alias := s.aliases[wanted]; alias {
		return n, true
	}
	if wanted == "latest" {
		return len(s.versions), true // the newest, switched off or not
	}
	n, err := strconv.Atoi(wanted)
	return n, err == nil && n >= 1 && n <= len(s.versions)
}

func (c *Cloud) access(w http.ResponseWriter, r *http.Request, name, project, wanted string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	caller, ok := c.bearer(w, r)
	if !ok {
		return
	}
	if !c.may(caller.principal, AccessVersion, name) {
		apiError(w, http.StatusForbidden, "PERMISSION_DENIED", fmt.Sprintf("Permission '%s' denied for resource '%s/versions/%s' (or it may not exist).", AccessVersion, name, wanted), "IAM_PERMISSION_DENIED")
		return
	}
	s := c.stored[name]
	numbered := strings.Replace(name, project, "projects/123456789012", 1) // the answers have the project's number
	if s == nil || len(s.versions) == 0 {
		apiError(w, http.StatusNotFound, "NOT_FOUND", "Secret ["+numbered+"] not found or has no versions.", "")
		return
	}
	number, known := s.number(wanted)
	full := fmt.Sprintf("%s/versions/%d", numbered, number)
	if !known {
		apiError(w, http.StatusNotFound, "NOT_FOUND", "Secret Version ["+numbered+"/versions/"+wanted+"] not found.", "")
		return
	}
	v := s.versions[number-1]
	if v.state != Enabled {
		apiError(w, http.StatusBadRequest, "FAILED_PRECONDITION", "Secret Version ["+full+"] is in "+v.state+" state.", "")
		return
	}
	sum := crc32.Checksum(v.payload, crc32.MakeTable(crc32.Castagnoli))
	if s.corrupt {
		sum++
	}
	writeJSON(w, http.StatusOK, map[string]any{"name": full,
		"payload": map[string]string{"data": base64.StdEncoding.EncodeToString(v.payload), "dataCrc32c": strconv.FormatUint(uint64(sum), 10)}})
}
