//go:build kubelet

package kubelet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// kubeletConfig is what a kubelet needs beside its cluster on a small machine that is not its own.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: %[1]s/manifests
containerRuntimeEndpoint: unix://%[2]s
address: %[3]s
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
oomScoreAdj: 0
maxOpenFiles: 20000
makeIPTablesUtilChains: false
resolvConf: ""
podLogsDir: %[1]s/podlogs
volumePluginDir: %[1]s/volumes
`

// A kubelet is a real one in a world. Its pods come from files, or from an API server.
type kubelet struct {
	*process
	world  *world
	client *http.Client
}

// startKubelet starts one with the plugin, configured as pier export says.
func (w *world) startKubelet(t *testing.T, export []string, flags ...string) *kubelet {
	t.Helper()
	plugins, provider := filepath.Join(w.dir, "plugins"), filepath.Join(w.dir, "provider.yaml")
	must(t, os.MkdirAll(filepath.Join(w.dir, "manifests"), 0o700))
	must(t, os.MkdirAll(plugins, 0o700))
	must(t, os.Link(built("pier-credential-provider"), filepath.Join(plugins, "pier-credential-provider")))
	must(t, os.WriteFile(provider, []byte(w.Must(t, append([]string{"export", "kubelet", "--org", "acme"}, export...)...)), 0o600))
	config := filepath.Join(w.dir, "kubelet.yaml")
	must(t, os.WriteFile(config, fmt.Appendf(nil, kubeletConfig, w.dir, w.runtime(), nodeIP), 0o600))
	arguments := append([]string{"--config", config, "--root-dir", filepath.Join(w.dir, "kubelet"), "--hostname-override", "node1", "--node-ip", nodeIP,
		"--image-credential-provider-config", provider, "--image-credential-provider-bin-dir", plugins, "--v=2"}, flags...)
	k := &kubelet{world: w, process: w.start(t, filepath.Join(w.dir, "kubelet.log"), w.env(), kubernetes(t, "kubelet"), arguments...)}
	// Its certificate is one that it made a moment ago.
	k.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: within}
	t.Cleanup(k.client.CloseIdleConnections)
	await(t, "a kubelet that answers", k.process, func(ctx context.Context) bool {
		var pods podList
		return k.get(ctx, "/pods", &pods) == nil
	})
	return k
}

// podList is as much of the kubelet's answer as is looked at.
type podList struct {
	Items []struct {
		Metadata struct{ Name, Namespace string }
		Status   struct {
			Phase             string
			ContainerStatuses []struct {
				ImageID string
				State   struct {
					Waiting    *struct{ Reason, Message string }
					Terminated *struct{ ExitCode int }
				}
			}
		}
	}
}

func (k *kubelet) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+nodeIP+":10250"+path, nil)
	if err != nil {
		return err
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// spec is a pod of one container that runs the image once.
func spec(name, namespace, image string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{"hostNetwork": true, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
			"containers": []map[string]any{{"name": "c", "image": image, "imagePullPolicy": "Always", "command": []string{"/bin/train", "--epochs=1"}}}}}
}

// pod gives the kubelet a static pod, and takes it away at the end of the test. It returns the pod's name.
func (k *kubelet) pod(t *testing.T, image string) string {
	t.Helper()
	k.world.images++
	name := "pod" + strconv.Itoa(k.world.images)
	text, err := json.Marshal(spec(name, "default", image))
	must(t, err)
	// The kubelet reads a file as soon as it is there, so it is moved there whole.
	path := filepath.Join(k.world.dir, "manifests", name+".json")
	must(t, os.WriteFile(path+".new", text, 0o600))
	must(t, os.Rename(path+".new", path))
	t.Cleanup(func() { must(t, os.Remove(path)) })
	return name + "-node1"
}

// state is "ran", where the container did and ended well, or the reason why it waits: "ErrImagePull", with the message.
func (k *kubelet) state(ctx context.Context, pod string) (reason, message string) {
	var pods podList
	if err := k.get(ctx, "/pods", &pods); err != nil {
		return "", err.Error()
	}
	for _, p := range pods.Items {
		if p.Metadata.Name != pod || len(p.Status.ContainerStatuses) == 0 {
			continue
		}
		switch s := p.Status.ContainerStatuses[0].State; {
		case s.Terminated != nil && s.Terminated.ExitCode == 0:
			return "ran", ""
		case s.Terminated != nil:
			return "failed", ""
		case s.Waiting != nil:
			return s.Waiting.Reason, s.Waiting.Message
		}
	}
	return "", ""
}

// runs waits until the pod has run to its end.
func (k *kubelet) runs(t *testing.T, pod string) {
	t.Helper()
	k.becomes(t, pod, "ran")
}

// refused waits until the pod's image could not be pulled. What it says of that is the registry's word, never the plugin's.
func (k *kubelet) refused(t *testing.T, pod string) {
	t.Helper()
	k.becomes(t, pod, "ErrImagePull", "ImagePullBackOff")
}

func (k *kubelet) becomes(t *testing.T, pod string, states ...string) {
	t.Helper()
	var last string
	await(t, "pod "+pod+" as "+strings.Join(states, " or "), k.process, func(ctx context.Context) bool {
		reason, message := k.state(ctx, pod)
		last = reason + " " + message
		for _, state := range states {
			if reason == state {
				return true
			}
		}
		if reason == "failed" || reason == "ran" || states[0] == "ran" && strings.HasPrefix(reason, "ErrImage") {
			t.Fatalf("pod %s is %s", pod, last)
		}
		return false
	})
}

// answers tells whether the agent answers the plugin.
func (w *world) answers(ctx context.Context) bool {
	request := `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"nowhere.invalid/app"}`
	command := exec.CommandContext(ctx, built("pier-credential-provider"))
	command.Env, command.Stdin = w.Env(), strings.NewReader(request)
	return command.Run() == nil
}

func run(ctx context.Context, program string, arguments ...string) error {
	return exec.CommandContext(ctx, program, arguments...).Run()
}

// processesOf are the numbers of all processes here whose program's name begins so.
func processesOf(program string) []int {
	var found []int
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is good
	for _, path := range names {
		text, err := os.ReadFile(path)
		if pid, second := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && second == nil && strings.HasPrefix(string(text), program) {
			found = append(found, pid)
		}
	}
	return found
}
