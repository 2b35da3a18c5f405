package dialect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func export(t *testing.T, dialect Dialect) Export {
	t.Helper()
	e, err := dialect(sets()["seeds"][1:2], Defaults()) // one host: ECR's
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A merging is a merge and files to try it on, each with how it comes out; "!" is an error.
type merging struct {
	name  string
	merge func(found []byte) (Merge, error)
	try   []struct{ name, found string }
}

func mergings(t *testing.T) []merging {
	hub, err := DockerDaemon(sets()["seeds"], Defaults())
	if err != nil {
		t.Fatal(err)
	}
	helpers, kubelet, hosts := export(t, DockerConfig), export(t, Kubelet), export(t, HostsTOML)
	type try = []struct{ name, found string }
	const account = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	return []merging{
		{"helpers", func(found []byte) (Merge, error) { return MergeHelpers(found, helpers, Defaults()) }, try{
			{"none", ""},
			{"empty object", "{}"},
			{"docker's own", "{\n\t\"auths\": {\n\t\t\"" + account + "\": {\n\t\t\t\"auth\": \"QVdTOnNlY3JldA==\"\n\t\t}\n\t},\n\t\"credsStore\": \"desktop\"\n}"},
			{"two spaces", "{\n  \"credHelpers\": {\n    \"gcr.io\": \"gcloud\"\n  },\n  \"HttpHeaders\": {\"b\": 1, \"a\": 1e3}\n}\n"},
			{"one line", `{"credHelpers":{"gcr.io":"gcloud"},"auths":{}}`},
			{"another's", `{"credHelpers": {"` + account + `": "ecr-login"}}`},
			{"ours", `{"credHelpers": {"` + account + `": "pier"}}`},
			{"another case", `{"CREDHELPERS": {}}`},
			{"twice", `{"credHelpers": {}, "credhelpers": {}}`},
			{"no object", `{"credHelpers": []}`},
			{"a list", `[]`},
			{"cut off", `{"auths": {"x": {"auth": "QVdT`},
		}},
		{"mirrors", func(found []byte) (Merge, error) { return MergeMirrors(found, hub, Defaults()) }, try{
			{"none", ""},
			{"others", "{\n  \"data-root\": \"/data\",\n  \"registry-mirrors\": [\n    \"https://mirror.example\"\n  ]\n}\n"},
			{"one line", `{"registry-mirrors":["https://mirror.example"]}`},
			{"no list yet", "{\n    \"data-root\": \"/data\"\n}\n"},
			{"ours", `{"registry-mirrors": ["http://127.0.0.1:5050/"]}`},
			{"comments", "{\n // no JSON\n}"},
		}},
		{"kubelet", func(found []byte) (Merge, error) { return MergeProviders(found, kubelet, Defaults()) }, try{
			{"none", ""},
			{"yaml", "kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\nproviders:\n- name: ecr\n  matchImages: [\"*.amazonaws.com\"] # theirs\n  defaultCacheDuration: 12h\n"},
			{"yaml, list first", "providers:\n  - name: ecr\nkind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\n"},
			{"yaml, flow", "kind: CredentialProviderConfig\nproviders: [{name: ecr}]\n"},
			{"yaml, ours", "kind: CredentialProviderConfig\nproviders:\n- name: pier-credential-provider\n"},
			{"json", "{\n  \"kind\": \"CredentialProviderConfig\",\n  \"providers\": [\n    {\"name\": \"ecr\"}\n  ]\n}\n"},
			{"json, none", `{"kind": "CredentialProviderConfig"}`},
			{"another kind", "kind: KubeletConfiguration\n"},
			{"no yaml", "a: b: c\n- d"},
		}},
		{"hosts", func(found []byte) (Merge, error) { return MergeHosts(found, hosts.Files[0].Text, Defaults()) }, try{
			{"none", ""},
			{"theirs", "server = \"https://gcr.io\"\n# theirs\n[host.\"https://mirror.example\"]\n  capabilities = [\"pull\"]\n  [host.\"https://mirror.example\".header]\n    authorization = [\"Basic QTpi\"]\n"},
			{"a list over lines", "ca = [\n  \"a.pem\",\n  \"[x]\",\n]\nclient = [[\n\"a\", \"b\"\n]]\n[host.\"https://mirror.example\"]\n"},
			{"no end of line", "server = \"https://gcr.io\""},
			{"ours", "[host.\"http://127.0.0.1:5050\"]\n"},
			{"an earlier run's", "# theirs\n" + blockBegin + "[host.\"http://127.0.0.1:9\"]\n" + blockEnd + "[host.\"https://mirror.example\"]\n"},
			{"inline", "host = {\"https://mirror.example\" = {}}\n"},
			{"no toml", "server = \n"},
		}},
		{"containerd", func(found []byte) (Merge, error) {
			m, dirs, err := MergeContainerd(ConfFile{Path: "config.toml", Text: found}, nil, "/etc/containerd/certs.d")
			if err == nil && dirs[0] != "/etc/containerd/certs.d" {
				m.Findings = append(m.Findings, Warning{Text: "hosts are in " + strings.Join(dirs, ", ")})
			}
			return m, err
		}, try{
			{"none", ""},
			{"debian", "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n"},
			{"empty path", "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n    config_path = ''\n[debug]\n"},
			{"empty table", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n[debug]\nlevel=\"info\"\n"},
			{"has one", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/certs:/etc/docker/certs.d\"\n"},
			{"old mirrors", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://x\"]\n"},
			{"version 1", "[plugins.cri.registry]\n"},
			{"docker's package", "disabled_plugins = [\"cri\"]\n"},
			{"nvidia's", "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  default_runtime_name = \"nvidia\"\n"},
			{"inline", "version = 2\nplugins = {}\n"},
		}},
	}
}

func TestMergeGolden(t *testing.T) {
	for _, m := range mergings(t) {
		var text strings.Builder
		for _, try := range m.try {
			fmt.Fprintf(&text, "==== %s\n", try.name)
			merged, err := m.merge([]byte(try.found))
			if err != nil {
				fmt.Fprintf(&text, "! %v\n", err)
				continue
			}
			if string(merged.Text) == try.found {
				text.WriteString("(stays)\n")
			} else {
				fmt.Fprintf(&text, "%s\n", bytes.TrimSuffix(merged.Text, []byte("\n")))
			}
			for _, f := range merged.Findings {
				fmt.Fprintf(&text, "Finding: %v\n", f)
			}
			again, err := m.merge(merged.Text)
			if err != nil || !bytes.Equal(again.Text, merged.Text) {
				t.Errorf("%s, %s: a second time is not the first: %v\n%s", m.name, try.name, err, again.Text)
			}
		}
		golden(t, "merge-"+m.name, text.String())
	}
}

// FuzzMergeJSON: what Docker would read stays but for our part, and a second time changes nothing.
func FuzzMergeJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"auths":{"a":{"auth":"x"}}}`, "{ \"credHelpers\" : { } , \"b\":[1,{\"c\":\"\\\"}\"}]}", `{"credHelpers":{"x":"y"}}`, "[]", `{"a":1,"a":2}`} {
		f.Add(seed)
	}
	e, err := DockerConfig(sets()["seeds"], Defaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, found string) {
		Mask([]byte(found))
		m, err := MergeHelpers([]byte(found), e, Defaults())
		if err != nil {
			return
		}
		var before, after map[string]any
		if strings.TrimSpace(found) != "" {
			if err := json.Unmarshal([]byte(found), &before); err != nil {
				t.Fatalf("merged what is no JSON: %v", err)
			}
		}
		if err := json.Unmarshal(m.Text, &after); err != nil {
			t.Fatalf("what came out is no JSON: %v\n%s", err, m.Text)
		}
		helpers := helpersOf(after)
		if helpers["myregistry.azurecr.io"] == nil {
			t.Errorf("our helper is not there: %s", m.Text)
		}
		old := helpersOf(before)
		for key := range helpers {
			if old[key] == nil && strings.Contains(e.Files[0].Text, fmt.Sprintf("%q", key)) {
				delete(helpers, key)
			}
		}
		if len(helpers) == 0 && len(old) == 0 {
			dropHelpers(before)
			dropHelpers(after)
		}
		if len(before) != len(after) || len(before) > 0 && !reflect.DeepEqual(before, after) {
			t.Errorf("something else changed:\n%s\n%s", found, m.Text)
		}
		if again, err := MergeHelpers(m.Text, e, Defaults()); err != nil || !bytes.Equal(again.Text, m.Text) {
			t.Errorf("a second time: %v\n%s", err, again.Text)
		}
	})
}

func helpersOf(file map[string]any) map[string]any {
	for key, value := range file {
		if strings.EqualFold(key, "credHelpers") {
			table, _ := value.(map[string]any)
			return table
		}
	}
	return nil
}

func dropHelpers(file map[string]any) {
	for key := range file {
		if strings.EqualFold(key, "credHelpers") {
			delete(file, key)
		}
	}
}

// FuzzMergeTOML: the merges look at what they made themselves; it must not panic, and a second time must change nothing.
func FuzzMergeTOML(f *testing.F) {
	for _, seed := range []string{"", "server = \"x\"\n", "a = \"\"\"\n[x]\n\"\"\"\n[host.\"y\"]\n", "a = '''\n[x]''''\n[b]", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n", "x = [\n1,\n]"} {
		f.Add(seed)
	}
	fresh := MirrorBlock("127.0.0.1:5050")
	f.Fuzz(func(t *testing.T, found string) {
		Mask([]byte(found))
		if m, err := MergeHosts([]byte(found), fresh, Defaults()); err == nil {
			var table map[string]any
			if err := readTOML(string(m.Text), &table); err != nil {
				t.Fatalf("what came out is no TOML: %v\n%s", err, m.Text)
			}
			if again, err := MergeHosts(m.Text, fresh, Defaults()); err != nil || string(again.Text) != string(m.Text) {
				t.Errorf("a second time: %v\n%s\n%s", err, m.Text, again.Text)
			}
		}
		if m, dirs, err := MergeContainerd(ConfFile{Text: []byte(found)}, nil, "/certs"); err == nil {
			if again, second, err := MergeContainerd(ConfFile{Text: m.Text}, nil, "/certs"); err != nil || !slices.Equal(second, dirs) || string(again.Text) != string(m.Text) {
				t.Errorf("a second time: %v\n%s\n%s", err, m.Text, again.Text)
			}
		}
	})
}

func FuzzMergeProviders(f *testing.F) {
	for _, seed := range []string{"", "kind: CredentialProviderConfig\nproviders:\n- name: x\n", `{"kind":"CredentialProviderConfig","providers":[]}`} {
		f.Add(seed)
	}
	e, err := Kubelet(sets()["seeds"], Defaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, found string) {
		if m, err := MergeProviders([]byte(found), e, Defaults()); err == nil {
			var file providersFile
			if err := yaml.Unmarshal(m.Text, &file); err != nil || !file.has(Defaults().Plugin) {
				t.Errorf("our provider is not there: %v\n%s", err, m.Text)
			}
		}
	})
}

func TestMask(t *testing.T) {
	const secret = "QVdTOnNlY3JldA"
	for _, text := range []string{
		`{"auths": {"gcr.io": {"auth": "` + secret + `"}}}`,
		"{\n\t\"auths\": {\n\t\t\"gcr.io\": {\n\t\t\t\"identitytoken\": \"" + secret + "\"\n\t\t}\n\t}\n}",
		`{"HttpHeaders": {"X-Meta": ["` + secret + `"]}, "proxies": {"default": {"httpProxy": "http://u:` + secret + `@p"}}}`,
		"[host.\"x\".header]\n  authorization = [\"Basic " + secret + "\"]\n",
		"[host.\"x\".header]\n  authorization = \"Basic " + secret + "\"\n",
		"- name: AWS_SECRET\n  value: " + secret + "\n",
		"server = \"https://u:" + secret + "@gcr.io\"\n",
		`{"providers": [{"env": [{"name": "A", "value": "` + secret + `"}]}]}`,
	} {
		if got := string(Mask([]byte(text))); strings.Contains(got, secret) {
			t.Errorf("it can be read: %s", got)
		}
	}
	plain := "{\n\t\"credHelpers\": {\n\t\t\"gcr.io\": \"pier\"\n\t},\n\t\"registry-mirrors\": [\"http://127.0.0.1:5050\"]\n}\n"
	if got := string(Mask([]byte(plain))); got != plain {
		t.Errorf("nothing in it is secret: %s", got)
	}
}

func TestMergeKubeletFlags(t *testing.T) {
	const ours = "--image-credential-provider-config=/c --image-credential-provider-bin-dir=/d"
	for _, test := range []struct{ found, want string }{
		{"", "KUBELET_EXTRA_ARGS=\"" + ours + "\"\n"},
		{"# mine", "# mine\nKUBELET_EXTRA_ARGS=\"" + ours + "\"\n"},
		{"KUBELET_EXTRA_ARGS=\n", "KUBELET_EXTRA_ARGS=\"" + ours + "\"\n"},
		{"KUBELET_EXTRA_ARGS=--v=2 --a\nB=1\n", "KUBELET_EXTRA_ARGS=\"--v=2 --a " + ours + "\"\nB=1\n"},
		{"KUBELET_EXTRA_ARGS='--v=2'", "KUBELET_EXTRA_ARGS='--v=2 " + ours + "'"},
		{"KUBELET_EXTRA_ARGS=--v=2 \\\n  --a\n", ""},
		{"KUBELET_EXTRA_ARGS=\"--a='x\" y\"\n", ""},
		{"KUBELET_EXTRA_ARGS=--image-credential-provider-config=/other\n", ""},
	} {
		m, err := MergeKubeletFlags([]byte(test.found), "/c", "/d")
		if (err != nil) != (test.want == "") || err == nil && string(m.Text) != test.want {
			t.Errorf("%q: %q, %v", test.found, m.Text, err)
		}
		if again, second := MergeKubeletFlags(m.Text, "/c", "/d"); err == nil && (second != nil || !bytes.Equal(again.Text, m.Text)) {
			t.Errorf("%q: a second time: %q, %v", test.found, again.Text, second)
		}
	}
}
