package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
)

// A phase is how far this node got with an execution. Each is on disk before the next step is begun, so that a restart
// goes on from there.
type phase string

const (
	phaseTaken    phase = "taken"    // accepted; nothing is known of the image
	phaseResolved phase = "resolved" // the tag is a digest now, and stays it
	phaseRunning  phase = "running"  // the container was made under its name; it may or may not have started
	phaseEnded    phase = "ended"    // the outcome is settled; log and report may still have to be delivered
)

// A record is one execution as this node keeps it on disk.
type record struct {
	Execution pierhead.Execution
	Phase     phase
	Progress  pierhead.Progress
	ImageID   string // the engine's
	// LogHead is where the container's own output begins in the log, LogEnd where it ended, in bytes.
	LogHead int64
	LogEnd  int64
	Footer  string // what we say after the container's output
}

// records keeps the records of unfinished executions in a directory: <id>.json and <id>.log.
type records struct{ directory string }

func (r records) path(id, extension string) string {
	return filepath.Join(r.directory, id+extension)
}

func (r records) save(rec *record) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("record of %s: %w", rec.Execution.ID, err)
	}
	if err := durable.WriteFile(durable.OS{}, r.path(rec.Execution.ID, ".json"), text); err != nil {
		return fmt.Errorf("record of %s: %w", rec.Execution.ID, err)
	}
	return nil
}

// load returns all records; one that cannot be read is an error, because its container would be forgotten.
func (r records) load() ([]*record, error) {
	entries, err := os.ReadDir(r.directory)
	if err != nil {
		return nil, fmt.Errorf("records of executions: %w", err)
	}
	var all []*record
	for _, entry := range entries {
		id, isRecord := strings.CutSuffix(entry.Name(), ".json")
		if !isRecord {
			continue
		}
		text, err := os.ReadFile(r.path(id, ".json"))
		if err != nil {
			return nil, fmt.Errorf("record of %s: %w", id, err)
		}
		rec := new(record)
		if err := json.Unmarshal(text, rec); err != nil {
			return nil, fmt.Errorf("record of %s: %w", id, err)
		}
		all = append(all, rec)
	}
	return all, nil
}

func (r records) remove(id string) error {
	for _, extension := range []string{".log", ".json"} {
		if err := os.Remove(r.path(id, extension)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("record of %s: %w", id, err)
		}
	}
	return nil
}
