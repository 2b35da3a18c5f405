package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	phaseMaking   phase = "making"   // the container may be there under its name, and may have started
	phaseRunning  phase = "running"  // the container was started
	phaseEnded    phase = "ended"    // the outcome is settled; log and report may still have to be delivered
)

// A record is one execution as this node keeps it on disk.
type record struct {
	Execution pierhead.Execution
	Phase     phase
	Progress  pierhead.Progress
	ImageID   string // the engine's; with it a container may have been made
	Head      string // what we say before the container's output, in lines; a later start says the same
	LogEnd    int64  // where the container's output ended in the log, in bytes
	Footer    string // what we say after it
}

// records keeps the records of unfinished executions in a directory: <id>.json and <id>.log.
type records struct {
	directory string
	layer     durable.Layer
	log       *slog.Logger
}

func (r records) path(id, extension string) string {
	return filepath.Join(r.directory, id+extension)
}

func (r records) save(rec *record) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("record of %s: %w", rec.Execution.ID, err)
	}
	if err := durable.WriteFile(r.layer, r.path(rec.Execution.ID, ".json"), text); err != nil {
		return fmt.Errorf("record of %s: %w", rec.Execution.ID, err)
	}
	return nil
}

// load returns all records. One that cannot be read is moved aside, so that the others go on: its execution is then told
// as lost. What a crash left half-written is removed.
func (r records) load() ([]*record, error) {
	entries, err := os.ReadDir(r.directory)
	if err != nil {
		return nil, fmt.Errorf("records of executions: %w", err)
	}
	var all []*record
	logs := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		id, isRecord := strings.CutSuffix(name, ".json")
		switch {
		case strings.HasPrefix(name, durable.TempPrefix):
			_ = os.Remove(r.path(name, ""))
		case strings.HasSuffix(name, ".log"):
			logs[strings.TrimSuffix(name, ".log")] = true
		case isRecord:
			rec, err := r.read(id)
			if err != nil {
				r.log.Error("a record is unreadable and moved aside", "execution", id, "error", err)
				if err := os.Rename(r.path(id, ".json"), r.path(id, ".bad")); err != nil {
					return nil, fmt.Errorf("record of %s: %w", id, err)
				}
				continue
			}
			all = append(all, rec)
		}
	}
	for _, rec := range all {
		delete(logs, rec.Execution.ID)
	}
	for id := range logs { // their executions are over, or lost
		_ = os.Remove(r.path(id, ".log"))
	}
	return all, nil
}

func (r records) read(id string) (*record, error) {
	text, err := os.ReadFile(r.path(id, ".json"))
	if err != nil {
		return nil, err
	}
	rec := new(record)
	if err := json.Unmarshal(text, rec); err != nil {
		return nil, err
	}
	if rec.Execution.ID != id {
		return nil, fmt.Errorf("it is the record of %q", rec.Execution.ID)
	}
	return rec, nil
}

// remove forgets an execution: first the record, because a record without its log would write another one.
func (r records) remove(id string) error {
	for _, extension := range []string{".json", ".log"} {
		if err := os.Remove(r.path(id, extension)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("record of %s: %w", id, err)
		}
	}
	return nil
}

// diskTrouble says whose turn it is when there is no space left.
func diskTrouble(err error) error {
	if !durable.Full(err) {
		return err
	}
	return &pierhead.Problem{Kind: pierhead.ErrConflict, Cause: err, Text: err.Error(), Hint: "ask the operator to make room on the node's disk"}
}
