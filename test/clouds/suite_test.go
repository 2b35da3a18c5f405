package clouds

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/test/leaks"
)

// What the tests keep for the search in the end, below the folder of the programs: of each house all that it left
// but the engine's store and what the operator laid out, and a record of each house and each world.
const (
	keptHouses  = "houses"
	keptRecords = "records"
)

// A record is what the search in the end needs to know.
type record struct {
	House       string   // the name of its directory; "" of a world
	Marker      string   // what is found in a house if it is searched
	Environment string   // what the operator gave a house
	Secrets     []string // of a world
}

func (r record) write(t *testing.T, name string) {
	t.Helper()
	text, err := json.Marshal(r)
	must(t, err)
	must(t, os.WriteFile(built(filepath.Join(keptRecords, name)), text, 0o600))
}

// keep hands over what a house left, when it has ended.
func (h *house) keep(t *testing.T) {
	t.Helper()
	for _, place := range []string{h.secrets, h.tokens} {
		must(t, os.RemoveAll(place))
	}
	record{House: filepath.Base(h.Dir), Marker: h.marker, Environment: strings.Join(h.More, "\n")}.write(t, filepath.Base(h.Dir))
	must(t, os.Rename(h.Dir, built(filepath.Join(keptHouses, filepath.Base(h.Dir)))))
}

// keepSecrets hands over what a world made.
func (w *world) keepSecrets(t *testing.T) {
	t.Helper()
	record{Secrets: w.made()}.write(t, filepath.Base(w.dir))
}

// searchSuite looks for every secret of every world in all that any house left. The same search has to find each house's
// marker in its database, in what commands said, in the agent's files and among the processes.
func searchSuite(dir string) error {
	records, err := readRecords(filepath.Join(dir, keptRecords))
	if err != nil {
		return err
	}
	var secrets, markers []string
	var environment strings.Builder
	houses := 0
	for _, r := range records {
		secrets = append(secrets, r.Secrets...)
		environment.WriteString(r.Environment + "\n")
		if r.House != "" {
			houses++
			markers = append(markers, r.Marker)
		}
	}
	if houses == 0 {
		return nil // -run chose tests that have none
	}
	all := pieces(secrets)
	report, told, err := searchHouses(dir, all, environment.String())
	if err == nil && report.Exit() != leaks.ExitClean {
		err = fmt.Errorf("the search of all that %d houses left for %d secrets:\n%s", houses, len(secrets), told)
	}
	if err != nil {
		return err
	}
	if testing.Verbose() {
		fmt.Printf("the search of all that %d houses left for %d secrets: %s", houses, len(secrets), told)
	}
	return searchMarkers(dir, records, pieces(markers))
}

// searchMarkers tells what the search does not find.
func searchMarkers(dir string, records []record, markers [][]byte) error {
	report, _, err := searchHouses(dir, markers, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range records {
		for _, place := range []string{"pierhead.db, table", "/" + saidFile, "/data/agent/", "/" + processFile} {
			found := r.House == ""
			for _, f := range report.Findings {
				found = found || strings.Contains(f.Place, r.House+"/") && strings.Contains(f.Place, place)
			}
			if !found {
				errs = append(errs, fmt.Errorf("the search does not find what is in %s of house %s", place, r.House))
			}
		}
	}
	return errors.Join(errs...)
}

// searchHouses is one search; what operators gave is looked for in all but processes.
func searchHouses(dir string, all [][]byte, environment string) (*leaks.Report, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	lists, err := filepath.Glob(filepath.Join(dir, keptHouses, "*", processFile))
	if err != nil {
		return nil, "", err
	}
	needle, err := leaks.NewNeedle(all...)
	if err != nil {
		return nil, "", err
	}
	outside, err := leaks.NewNeedle(without(all, environment)...)
	if err != nil {
		return nil, "", err
	}
	var report leaks.Report
	needle.SearchPaths(ctx, []string{filepath.Join(dir, keptHouses)}, lists, &report)
	report.Notes = nil // of what is left out, and searched below
	outside.SearchPaths(ctx, lists, nil, &report)
	var told bytes.Buffer
	err = report.Print(&told, needle)
	return &report, told.String(), err
}

func readRecords(dir string) ([]record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var records []record
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}
