package egress_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// clients are the folders, and files, that may make HTTP clients of their own, and why.
var clients = map[string]string{
	"egress":                 "this one",
	"api":                    "the client of our own server, whose address its operator gives",
	"engine/docker":          "the engine's socket",
	"identity/google":        "the cloud's own API at addresses that its library derives, and the metadata service",
	"identity/amazon":        "the cloud's own API at addresses that its library derives, and the metadata service",
	"identity/azure":         "the cloud's own API at addresses that its library derives, and the metadata service",
	"identity/kube":          "the issuer of a cluster's service-account tokens, whose address the operator gives, or the cluster's API server",
	"secret/k8s":             "the API server of the agent's own cluster, at the address that Kubernetes gives its pods",
	"cmd/pier/nodestatus.go": "the socket of this machine's agent",
	"secret/vault":           "the Vault whose address the operator gives",
}

// outward are the names with which a program reaches out by itself.
var outward = map[string][]string{
	"net/http":          {"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "NewFileTransport"},
	"net/http/httputil": {"ReverseProxy", "NewSingleHostReverseProxy", "NewClientConn", "NewProxyClientConn"},
	"net/rpc":           {"Dial", "DialHTTP", "DialHTTPPath"},
}

// All requests to addresses that others choose leave through egress: no other package of the program makes an
// http.Client or an http.Transport.
func TestP18NobodyElseMakesHTTPClients(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		room := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(name), "../"))
		switch {
		case entry.IsDir() && name != "..":
			_, nested := os.Stat(filepath.Join(name, "go.mod")) // a module of its own is not the program
			if base := entry.Name(); strings.HasPrefix(base, ".") || base == "testdata" || nested == nil {
				return filepath.SkipDir
			}
			return nil
		case entry.IsDir(), path.Ext(name) != ".go", strings.HasSuffix(name, "_test.go"), clients[room] != "", clients[room+"/"+entry.Name()] != "":
			return nil
		case strings.HasPrefix(room, "test/"), strings.HasSuffix(room, "test"):
			return nil // no part of the program: the floors keep it from being imported
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, found := range reachesOut(t, name, text) {
			t.Errorf("%s: only egress makes clients for addresses that others choose", found)
		}
		return nil
	})
	if err != nil || files < 20 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// reachesOut lists where a file uses one of the names.
func reachesOut(t *testing.T, name string, text []byte) []string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]string{}
	var found []string
	for _, i := range file.Imports {
		from, _ := strconv.Unquote(i.Path.Value)
		if outward[from] == nil {
			continue
		}
		local := path.Base(from)
		if i.Name != nil {
			local = i.Name.Name
		}
		if local == "." {
			found = append(found, set.Position(i.Pos()).String()+" imports all of "+from)
		}
		imported[local] = from
	}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if of, ok := selector.X.(*ast.Ident); ok && slices.Contains(outward[imported[of.Name]], selector.Sel.Name) {
			found = append(found, set.Position(selector.Pos()).String()+" "+of.Name+"."+selector.Sel.Name)
		}
		return true
	})
	return found
}

// The scan finds what it is for.
func TestTheScanFindsClients(t *testing.T) {
	const head = "package x\nimport (h \"net/http\"; \"net/http/httputil\")\nvar _ = h.StatusOK\nvar _ httputil.BufferPool\n"
	for body, want := range map[string]int{
		"var a = h.Client{}": 1, "var a = &h.Transport{}": 1, "func f() { h.Get(\"x\"); h.DefaultClient.Do(nil) }": 2, "type t struct{ c *h.Client }": 1,
		"var a = httputil.ReverseProxy{}": 1, "func f(w h.ResponseWriter, r *h.Request) { h.Error(w, \"\", h.StatusOK) }": 0, "var a h.Server": 0,
	} {
		if got := reachesOut(t, "x.go", []byte(head+body)); len(got) != want {
			t.Errorf("%s: %q", body, got)
		}
	}
	if got := reachesOut(t, "x.go", []byte("package x\nimport . \"net/http\"\nvar a = Client{}")); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
