package machine

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

// A Login is one of a private registry, and a secret of an agent's with the user's name: file:USER.
type Login struct {
	User      string
	Registry  string   // its host, as people name it
	Address   string   // where it listens
	Passwords []string // all that there ever were; the last is good
	htpasswd  string   // a file
	secret    string   // a file
}

// Private starts a registry of other people's, with its files in dir, and one login.
func Private(t *testing.T, dir, secrets, user string) *Login {
	t.Helper()
	l := &Login{User: user, htpasswd: filepath.Join(dir, user+".htpasswd"), secret: filepath.Join(secrets, user)}
	must(t, os.WriteFile(l.htpasswd, nil, 0o600))
	l.Address = Distribution(t, filepath.Join(dir, "registry-"+user), l.htpasswd)
	l.Registry = l.Address
	l.Rotate(t)
	return l
}

// Password is the one that is good.
func (l *Login) Password() string { return l.Passwords[len(l.Passwords)-1] }

// Rotate makes a new password, at the registry and in the agent's secret.
func (l *Login) Rotate(t *testing.T) {
	t.Helper()
	l.Passwords = append(l.Passwords, "password-of-"+l.User+"-"+rand.Text())
	hash, err := bcrypt.GenerateFromPassword([]byte(l.Password()), bcrypt.MinCost)
	must(t, err)
	must(t, os.WriteFile(l.htpasswd, []byte(l.User+":"+string(hash)+"\n"), 0o600))
	l.writeSecret(t)
}

// MoveTo gives the registry another name, also in the agent's secret.
func (l *Login) MoveTo(t *testing.T, registry string) {
	t.Helper()
	l.Registry = registry
	l.writeSecret(t)
}

func (l *Login) writeSecret(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(map[string]string{"username": l.User, "password": l.Password(), "server": l.Registry})
	must(t, err)
	must(t, os.WriteFile(l.secret, text, 0o600))
}

// Push puts an image, REPOSITORY:TAG, into the registry, and returns its name in full.
func (l *Login) Push(t *testing.T, image string, content v1.Image) string {
	t.Helper()
	tag, err := name.NewTag(l.Address+"/"+image, name.Insecure)
	must(t, err)
	must(t, remote.Write(tag, content, remote.WithAuth(&authn.Basic{Username: l.User, Password: l.Password()}), remote.WithContext(t.Context())))
	return l.Registry + "/" + image
}
