package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/doors"
)

// shortDir is a directory whose names fit into a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listenSocket(t *testing.T, path, group string) *Socket {
	t.Helper()
	s, err := ListenSocket(path, group)
	if err != nil {
		t.Fatalf("%v (%s)", err, pierhead.HintOf(err))
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSocketIsForItsOwnerAndOneGroup(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "run", "agent.sock")
	groups, err := os.Getgroups()
	if err != nil || len(groups) == 0 {
		groups = []int{os.Getgid()}
	}
	s := listenSocket(t, path, fmt.Sprint(groups[0]))
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the socket is %v: %v", info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its directory is %v: %v", info.Mode(), err)
	}
	if !strings.Contains(s.WhoMayAsk(), "root") || !strings.Contains(s.WhoMayAsk(), "group") {
		t.Errorf("who may ask: %s", s.WhoMayAsk())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left behind: %v", err)
	}
}

// A crash leaves the socket's name; the next start takes its place. What is somebody's is not touched.
func TestSocketOfAnotherLife(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "agent.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if _, err := ListenSocket(path, ""); !errors.Is(err, pierhead.ErrConflict) || pierhead.HintOf(err) == "" {
		t.Errorf("beside a program that listens: %v", err)
	}
	stale.Close()
	s := listenSocket(t, path, "")
	if _, err := ListenSocket(path, ""); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("beside another agent: %v", err)
	}
	// Somebody puts another in its place: closing the first leaves the second alone.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's socket is gone: %v", err)
	}
}

func TestSocketPlacesThatAreRefused(t *testing.T) {
	dir := shortDir(t)
	file, open := filepath.Join(dir, "file"), filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(file, []byte("mine"), 0o600), os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a file": file, "a directory of everybody's": open + "/agent.sock", "below a file": file + "/agent.sock",
		"too long": dir + "/" + strings.Repeat("a", 100), "relative": "agent.sock",
	} {
		if _, err := ListenSocket(path, ""); !errors.Is(err, pierhead.ErrBadInput) || pierhead.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ListenSocket(dir+"/agent.sock", "no-such-group-here"); !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("a group that there is none of: %v", err)
	}
	if text, err := os.ReadFile(file); string(text) != "mine" {
		t.Errorf("the file was touched: %v", err)
	}
}

// atSocket is an agent with a socket, and a client of it.
func (k *kit) atSocket(change func(*Config)) (*instance, *http.Client) {
	k.t.Helper()
	path := filepath.Join(shortDir(k.t), "agent.sock")
	k.change = func(c *Config) {
		socket, err := ListenSocket(path, "")
		k.must(err)
		c.Socket, c.Version = socket, "v1.2.3"
		change(c)
	}
	a := k.start(k.t.TempDir())
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	k.t.Cleanup(client.CloseIdleConnections)
	return a, client
}

func (k *kit) askAt(client *http.Client, method, path string, ask, answer any) int {
	k.t.Helper()
	text, err := json.Marshal(ask)
	k.must(err)
	request, err := http.NewRequestWithContext(k.t.Context(), method, "http://agent"+path, bytes.NewReader(text))
	k.must(err)
	response, err := client.Do(request)
	k.must(err)
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	k.must(err)
	if err := json.Unmarshal(text, answer); err != nil {
		k.t.Fatalf("%s %s: %d %q", method, path, response.StatusCode, text)
	}
	return response.StatusCode
}

func (k *kit) host() string { host, _, _ := strings.Cut(k.image, "/"); return host }

func dockerAsk(host string) doors.Ask { return doors.Ask{Door: doors.Docker, Host: host} }

func TestSocketLends(t *testing.T) {
	k := newKit(t)
	_, client := k.atSocket(func(*Config) {})
	for _, form := range []string{"%s", "http://%s", "https://%s/v1/", "%s/", "https://%s/v2/"} {
		var loan doors.Loan
		if status := k.askAt(client, "POST", doors.PathCredential, dockerAsk(fmt.Sprintf(form, k.host())), &loan); status != 200 ||
			loan.Username != registryUser || loan.Password != registryPassword || loan.Host != k.host() || loan.Reach != doors.ReachHost || loan.CacheFor != 0 || loan.Registry != "images" {
			t.Errorf(form+": %d %+v", k.host(), status, loan)
		}
	}
	var loan doors.Loan
	name, _, _ := strings.Cut(strings.TrimPrefix(k.image, k.host()+"/"), ":")
	if status := k.askAt(client, "POST", doors.PathCredential, doors.Ask{Door: doors.Kubelet, Image: k.host() + "/" + name}, &loan); status != 200 || loan.Password != registryPassword {
		t.Errorf("kubelet: %d %+v", status, loan)
	}
	var refusal doors.Refusal
	for _, host := range []string{"quay.io", "https://index.docker.io/v1/", "https://index.docker.io/v1/access-token"} {
		if status := k.askAt(client, "POST", doors.PathCredential, dockerAsk(host), &refusal); status != 404 || refusal.Reason == "" {
			t.Errorf("%s: %d %+v", host, status, refusal)
		}
	}
	for _, ask := range []any{dockerAsk("a b"), dockerAsk(""), doors.Ask{Door: doors.Mirror, Image: k.image}, doors.Ask{}, "nonsense", strings.Repeat("long", 20_000)} {
		if status := k.askAt(client, "POST", doors.PathCredential, ask, &refusal); status != 400 || refusal.Reason == "" {
			t.Errorf("%.50v: %d %+v", ask, status, refusal)
		}
	}
	var hosts doors.Hosts
	if status := k.askAt(client, "GET", doors.PathHosts, nil, &hosts); status != 200 || len(hosts.Hosts) != 1 {
		t.Errorf("hosts: %d %+v", status, hosts)
	}
	var e api.Explanation
	if status := k.askAt(client, "POST", doors.PathExplain, doors.Ask{Door: doors.Docker, Image: k.image}, &e); status != 200 || e.Outcome != api.OutcomeRegistry || !strings.Contains(e.Sentence, "every image of "+k.host()) {
		t.Errorf("explain: %d %+v", status, e)
	}
	if k.log.has(registryPassword) {
		t.Error("the password is in the log")
	}
}

// What went wrong is no "not found": it says so, and the node keeps it.
func TestSocketTellsWhatWentWrong(t *testing.T) {
	k := newKit(t)
	k.must(os.Remove(filepath.Join(k.secrets, "images")))
	_, client := k.atSocket(func(*Config) {})
	var refusal doors.Refusal
	if status := k.askAt(client, "POST", doors.PathCredential, dockerAsk(k.host()), &refusal); status == 404 || status < 400 || !strings.Contains(refusal.Reason, "images") || refusal.Hint == "" {
		t.Errorf("%d %+v", status, refusal)
	}
	var status doors.Status
	k.askAt(client, "GET", doors.PathStatus, nil, &status)
	if len(status.Troubles) != 1 || status.Troubles[0].Reason != refusal.Reason || status.Troubles[0].Asked != k.host() {
		t.Errorf("troubles %+v", status.Troubles)
	}
	if status.Node != "local" || status.Organization != "acme" || status.Version != "v1.2.3" || status.SnapshotAge < 0 || status.LastContactAt.IsZero() || status.Mirror == "" {
		t.Errorf("status %+v", status)
	}
}

// A thousand helpers at once, and one look into the secret store: none fails, and none waits for another organization's.
func TestSocketManyAtOnce(t *testing.T) {
	k := newKit(t)
	_, client := k.atSocket(func(*Config) {})
	var group sync.WaitGroup
	var failed sync.Map
	for i := range 200 {
		group.Go(func() {
			var loan doors.Loan
			if status := k.askAt(client, "POST", doors.PathCredential, dockerAsk(k.host()), &loan); status != 200 || loan.Password != registryPassword {
				failed.Store(i, status)
			}
		})
	}
	group.Wait()
	failed.Range(func(i, status any) bool { t.Errorf("%v: %v", i, status); return true })
}

// Who opens the socket and says nothing, or only half of it, is sent away; others are served meanwhile.
func TestSocketSilence(t *testing.T) {
	k := newKit(t)
	k.prepared = func(a *Agent) { a.askWithin = time.Second / 4 }
	a, client := k.atSocket(func(*Config) {})
	for _, text := range []string{"", "POST /v1/credential HTTP/1.1\r\nHost: agent\r\nContent-Length: 9\r\n\r\n{", "GET " + strings.Repeat("/", 40_000)} {
		c, err := net.Dial("unix", a.Socket.Path())
		k.must(err)
		defer c.Close()
		_, _ = c.Write([]byte(text))
		k.must(c.SetReadDeadline(time.Now().Add(20 * time.Second)))
		begun := time.Now()
		answer, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(answer), " 200 ") {
			t.Errorf("%.20q: %q, %v after %v", text, answer, err, time.Since(begun))
		}
		var status doors.Status
		if code := k.askAt(client, "GET", doors.PathStatus, nil, &status); code != 200 {
			t.Errorf("meanwhile: %d", code)
		}
	}
}

// What other tools' configuration needs is told, and nothing about the login but that there is one.
func TestSocketTellsRegistries(t *testing.T) {
	k := newKit(t)
	_, client := k.atSocket(func(*Config) {})
	var told doors.Registries
	if status := k.askAt(client, "GET", doors.PathRegistries, nil, &told); status != 200 || len(told.Registries) != 2 || told.Mirror == "" {
		t.Fatalf("%d: %+v", status, told)
	}
	if r := told.Registries[1]; !r.Login || told.Registries[0].Type != "hosted" || r.Match[0] != k.host()+"/*" || strings.Contains(fmt.Sprintf("%+v", told), "file:") {
		t.Errorf("told: %+v", r)
	}
}
