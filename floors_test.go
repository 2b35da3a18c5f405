package pierhead_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"
)

const modulePath = "pierhead.dev/pierhead"

// floors is the house of ARCHITECTURE.md: a package imports only from floors below its own. A pattern is a path
// below the module, "." the root itself; "x/*" is every sub-room of x. The most specific pattern counts.
var floors = map[string]int{
	"cmd/*": 6,

	"server": 5, "agent": 5, "credhelper/*": 5,

	"broker": 4, "credhelper": 4,

	"secret/*": 3, "exchange/*": 3, "oci/*": 3, "blob/*": 3, "engine/*": 3, "store": 3, "dialect": 3,

	"resolve": 2, "exchange": 2, "oci": 2, "engine": 2, "access": 2, "audit": 2, "api": 2, "identity/*": 2,

	".": 1, "blob": 1, "projectfile": 1, "internal/amend": 1, // which writes by way of internal/durable

	"image": 0, "secret": 0, "credential": 0, "egress": 0, "internal/*": 0,
}

// offHouse are packages that no part of the program imports: tests that need real engines, and test kits, which
// may import what they test.
var offHouse = []string{"test/*", "test/*/*", "*/*test", "store/migrations"}

type listedPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
	Module     *struct{ Path string }
}

func TestFloors(t *testing.T) {
	packages := listPackages(t)
	for _, p := range packages {
		room := roomOf(p.ImportPath)
		floor, known := floorOf(room)
		if !known {
			if !matchesAny(room, offHouse) {
				t.Errorf("package %s has no floor: decide where it lives, here and in ARCHITECTURE.md", room)
			}
			continue
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, modulePath) {
				continue
			}
			below := roomOf(imported)
			if belowFloor, ok := floorOf(below); !ok || belowFloor >= floor {
				if room == "store" && below == "store/migrations" {
					continue // the schema's text, a folder of the store itself
				}
				t.Errorf("%s (floor %d) imports %s (floor %d): only floors below may be imported", room, floor, below, belowFloor)
			}
		}
	}
}

// What the control plane is made of never holds a credential of anyone's registry, so it links nothing that could.
func TestControlPlaneLinksNoCredentials(t *testing.T) {
	for _, p := range listPackages(t) {
		switch room := roomOf(p.ImportPath); room {
		case "server", "store", "console":
			for _, dependency := range p.Deps {
				below := roomOf(dependency)
				if strings.HasPrefix(dependency, modulePath) && matchesAny(below, []string{"broker", "secret/*", "exchange", "exchange/*", "identity/*", "credential", "oci/client", "egress"}) {
					t.Errorf("%s links %s", room, below)
				}
			}
		}
	}
}

// cloudSDKs are the clouds' libraries, and the rooms that may import each: large and many-handed as they are, they stay
// where their cloud is spoken to.
var cloudSDKs = map[string][]string{
	"github.com/aws/":             {"identity/amazon", "exchange/ecr", "secret/awssm"},
	"cloud.google.com/go/":        {"identity/google", "exchange/gcp", "secret/gcpsm"},
	"google.golang.org/":          {"identity/google", "exchange/gcp", "secret/gcpsm"},
	"github.com/googleapis/":      {"identity/google", "exchange/gcp", "secret/gcpsm"},
	"github.com/Azure/":           {"identity/azure", "exchange/acr", "secret/azurekv"},
	"github.com/AzureAD/":         {"identity/azure", "exchange/acr", "secret/azurekv"},
	"github.com/hashicorp/vault/": {"secret/vault"},
	"k8s.io/":                     {"secret/k8s"},
}

func TestCloudLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range listPackages(t) {
		room := roomOf(p.ImportPath)
		if matchesAny(room, offHouse) {
			continue
		}
		for _, imported := range p.Imports {
			for prefix, rooms := range cloudSDKs {
				if strings.HasPrefix(imported, prefix) && !matchesAny(room, rooms) {
					t.Errorf("%s imports %s, which belongs into %v", room, imported, rooms)
				}
			}
		}
	}
}

// The helpers start for every pull of a runtime and have milliseconds: none of them links a cloud's library, and neither
// does what the control plane is made of.
func TestHelpersAndControlPlaneLinkNoCloudLibrary(t *testing.T) {
	looked := 0
	for _, p := range listPackages(t) {
		room := roomOf(p.ImportPath)
		if !(path.Dir(room) == "cmd" && room != "cmd/pier") && room != "server" && room != "store" && room != "api" {
			continue
		}
		looked++
		for _, dependency := range p.Deps {
			for prefix := range cloudSDKs {
				if strings.HasPrefix(dependency, prefix) {
					t.Errorf("%s links %s", room, dependency)
				}
			}
		}
	}
	if looked < 3 {
		t.Fatalf("only %d of the programs and rooms were found", looked)
	}
}

// starters are the helpers that runtimes start for every pull, and what would double the time that takes.
var starters = map[string][]string{
	"cmd/docker-credential-pier":   {"net", "net/http", "crypto/tls", "encoding/json", "github.com/spf13/cobra"},
	"cmd/pier-credential-provider": {"net", "net/http", "crypto/tls", "github.com/spf13/cobra"},
}

func TestHelpersStartFast(t *testing.T) {
	found := 0
	for _, p := range listPackages(t) {
		slow, ok := starters[roomOf(p.ImportPath)]
		if !ok {
			continue
		}
		found++
		for _, dependency := range p.Deps {
			if slices.Contains(slow, dependency) || strings.Contains(dependency, ".") && !strings.HasPrefix(dependency, modulePath) {
				t.Errorf("%s links %s", p.ImportPath, dependency)
			}
		}
	}
	if found != len(starters) {
		t.Errorf("%d of %d helpers were found", found, len(starters))
	}
}

// Every room is in the tour of doc.go.
func TestTourNamesEveryRoom(t *testing.T) {
	tour, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range listPackages(t) {
		room := roomOf(p.ImportPath)
		if top, _, _ := strings.Cut(room, "/"); room != "." && !strings.Contains(string(tour), top+"/") {
			t.Errorf("doc.go does not name %s/", top)
		}
	}
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listedPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := decoder.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("go list named only %d packages", len(packages))
	}
	sort.Slice(packages, func(i, j int) bool { return packages[i].ImportPath < packages[j].ImportPath })
	return packages
}

func roomOf(importPath string) string {
	room := strings.TrimPrefix(strings.TrimPrefix(importPath, modulePath), "/")
	if room == "" {
		return "."
	}
	return room
}

func floorOf(room string) (int, bool) {
	if matchesAny(room, offHouse) {
		return 0, false
	}
	if floor, ok := floors[room]; ok {
		return floor, true
	}
	floor, ok := floors[path.Dir(room)+"/*"]
	return floor, ok
}

func matchesAny(room string, patterns []string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, room); err != nil {
			panic(fmt.Sprintf("pattern %q: %v", pattern, err))
		} else if ok {
			return true
		}
	}
	return false
}
