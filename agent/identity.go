package agent

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/ids"
	"pierhead.dev/pierhead/internal/tokens"
)

// The files of an identity in the agent's directory, both 0600.
const (
	nodeKeyFile  = "node-key.pem"
	identityFile = "identity.json"
)

// An Identity is who a node is that joined: a key pair, made on the node, whose private half never leaves it, and what the
// control plane answered when it joined. Nothing of it is a secret that anybody else has: the node signs short-lived tokens
// itself.
type Identity struct {
	directory string
	key       *tokens.Key
	known     storedIdentity
	now       func() time.Time
	version   string
	client    *api.Client // set by Client
	log       *slog.Logger

	mu     sync.Mutex
	token  string
	signed time.Time
	grant  registryGrant
}

// storedIdentity is identity.json. Files of every earlier version are read with it: fields may be added, and never change
// their name or meaning.
type storedIdentity struct {
	NodeID         string `json:"node_id"`
	Name           string `json:"name"`
	OrganizationID string `json:"organization_id"`
	Organization   string `json:"organization"`
	Server         string `json:"server"` // where the agent reaches the control plane
	URL            string `json:"url"`    // the control plane's own name
	CA             string `json:"ca,omitempty"`
}

// OpenIdentity reads the identity in the agent's directory, and makes the key pair there before anything is asked of
// anybody: a join whose answer was lost is repeated with the same key. now nil is time.Now.
func OpenIdentity(directory, version string, now func() time.Time) (*Identity, error) {
	if now == nil {
		now = time.Now
	}
	i := &Identity{directory: directory, now: now, version: version}
	text, err := os.ReadFile(filepath.Join(directory, nodeKeyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		i.key, err = makeNodeKey(filepath.Join(directory, nodeKeyFile))
	case err == nil:
		i.key, err = tokens.Parse(text)
	}
	if err != nil {
		return nil, fmt.Errorf("the node's key: %w", err)
	}
	text, err = os.ReadFile(filepath.Join(directory, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &i.known)
	}
	if err != nil {
		return nil, fmt.Errorf("the node's identity: %w", err)
	}
	i.openGrant()
	return i, nil
}

func makeNodeKey(path string) (*tokens.Key, error) {
	key, err := tokens.Generate()
	if err != nil {
		return nil, err
	}
	text, err := key.PEM()
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(durable.OS{}, path, text)
}

// Joined tells whether this is a node already.
func (i *Identity) Joined() bool { return i.known.NodeID != "" }

// Name is the node's.
func (i *Identity) Name() string { return i.known.Name }

// Organization is the name of the one that the node belongs to.
func (i *Identity) Organization() string { return i.known.Organization }

// Server is where the control plane was when the node joined.
func (i *Identity) Server() string { return i.known.Server }

// CA is the certificate of the control plane's own authority in PEM, or "".
func (i *Identity) CA() string { return i.known.CA }

// UseServer says where the control plane is now.
func (i *Identity) UseServer(url string) { i.known.Server = strings.TrimSuffix(url, "/") }

// A JoinRequest is what an agent joins with.
type JoinRequest struct {
	Server string // URL
	Token  string // as `pier node token create` printed it
	Name   string // empty: as the token says, else the machine's
	CA     string // PEM, for a server whose authority neither the system nor the token knows
}

// Join makes the node and keeps who it is. hasData tells whether its organization has a data key already. Errors are
// pierhead's, of the control plane or of the request.
func (i *Identity) Join(ctx context.Context, r JoinRequest) (hasData bool, err error) {
	token, authority, err := ids.SplitJoin(strings.TrimSpace(r.Token))
	if err != nil {
		return false, pierhead.NewProblem(pierhead.ErrBadInput, "the join token is mistyped or cut short", "copy it whole, with all that follows a dot: pier node token create prints it")
	}
	if authority != nil {
		found, err := api.FetchAuthority(ctx, r.Server, authority)
		if err != nil {
			return false, err
		}
		r.CA = string(found)
	}
	client, err := newClient(r.Server, r.CA, i.version, func() string { return token })
	if err != nil {
		return false, err
	}
	defer client.CloseIdle()
	now := i.now()
	proof, err := i.key.SignNode(tokens.NodeClaims{Node: i.key.ID(), Audience: []string{tokens.JoinAudience(token)}, IssuedAt: now, Expires: now.Add(tokens.NodeLife), ID: ids.New("jwt")})
	if err != nil {
		return false, err
	}
	joined, err := client.JoinNode(ctx, api.Join{Name: r.Name, Hostname: hostName(), PublicKey: tokens.PublicText(i.key.Public()), Proof: proof, Version: i.version})
	if err != nil {
		return false, err
	}
	i.known = storedIdentity{NodeID: joined.Node.ID, Name: joined.Node.Name, OrganizationID: joined.OrganizationID, Organization: joined.Node.Organization,
		Server: client.URL(), URL: joined.URL, CA: r.CA}
	return joined.HasData, nil
}

// Keep writes down who the node is; until then it has not joined as far as the next start is concerned.
func (i *Identity) Keep() error {
	text, err := json.MarshalIndent(i.known, "", "  ")
	if err == nil {
		err = durable.WriteFile(durable.OS{}, filepath.Join(i.directory, identityFile), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("the node's identity: %w", err)
	}
	return nil
}

// hostName is the machine's name as nodes are called: its first label, with hyphens for what names cannot have.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	parts := strings.FieldsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name = strings.Join(parts, "-")
	return strings.TrimSuffix(name[:min(len(name), 63)], "-")
}

// Client is the control plane's, for this node.
func (i *Identity) Client(log *slog.Logger) (*api.Client, error) {
	client, err := newClient(i.known.Server, i.known.CA, i.version, func() string {
		text, err := i.sign()
		if err != nil {
			log.Error("the node cannot sign its token", "error", err)
		}
		return text
	})
	i.client, i.log = client, log
	return client, err
}

func newClient(url, ca, version string, sign func() string) (*api.Client, error) {
	config := api.ClientConfig{URL: url, Sign: sign, UserAgent: "pier-agent/" + version}
	if ca != "" {
		config.CAs = x509.NewCertPool()
		if !config.CAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the server's CA is no PEM certificate", "see the file that --ca or PIER_CA names")
		}
	}
	return api.NewClient(config)
}

// sign is a token that is at most half its life old.
func (i *Identity) sign() (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if age := now.Sub(i.signed); i.token != "" && age >= 0 && age < tokens.NodeLife/2 {
		return i.token, nil
	}
	audience := []string{i.known.URL}
	if i.known.Server != i.known.URL {
		audience = append(audience, i.known.Server) // what the operator says now counts too: the server may have got another name
	}
	text, err := i.key.SignNode(tokens.NodeClaims{Node: i.known.NodeID, Audience: audience, IssuedAt: now, Expires: now.Add(tokens.NodeLife), ID: ids.New("jwt"), Version: i.version})
	if err != nil {
		return "", err
	}
	i.token, i.signed = text, now
	return text, nil
}
