package hosted

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/internal/durable"
)

// A repository's log is a file of lines, each one change:
//
//	<crc32c of the rest, 8 hex digits> <offset, hex> <json>\n
//
// The offset is how much of the log was synced for certain when the line was written. It tells what a crash did from
// what a bad disk did: a bad line beyond every offset that a good line names was never acknowledged, and is cut off; a
// bad line before one is damage, and the repository is refused rather than served with something missing.
const logName = "_log" // no part of a repository's name begins with an underscore

type operation string

const (
	opLog            operation = "log"   // the first line; Version
	opLink           operation = "blob"  // Digest, Size
	opUnlink         operation = "-blob" // Digest
	opManifest       operation = "manifest"
	opDeleteManifest operation = "-manifest" // Digest; and every tag that names it
	opTag            operation = "tag"       // Digest, Tags
	opDeleteTag      operation = "-tag"      // Tags
)

// record is one line. Logs of earlier versions stay readable: fields are added, never changed.
type record struct {
	Op           operation         `json:"op"`
	At           int64             `json:"at,omitempty"` // Unix seconds
	Version      int               `json:"version,omitempty"`
	Digest       digest.Digest     `json:"digest,omitempty"`
	Size         int64             `json:"size,omitempty"` // bytes
	MediaType    string            `json:"media_type,omitempty"`
	Subject      digest.Digest     `json:"subject,omitempty"`
	ArtifactType string            `json:"artifact_type,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"` // of a referrer
	More         bool              `json:"more,omitempty"`        // its annotations are too many to keep here
	Tags         []string          `json:"tags,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// line is the record as it stands in a log of which synced bytes are kept for certain.
func (c record) line(synced int64) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	rest := append(strconv.AppendInt(nil, synced, 16), ' ')
	rest = append(rest, text...)
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(rest, castagnoli), rest), nil
}

// parseLine reads a line without its newline.
func parseLine(line []byte) (c record, synced int64, ok bool) {
	sum, rest, found := bytes.Cut(line, []byte(" "))
	if !found || len(sum) != 8 || fmt.Sprintf("%08x", crc32.Checksum(rest, castagnoli)) != string(sum) {
		return record{}, 0, false
	}
	offset, text, _ := bytes.Cut(rest, []byte(" "))
	synced, err := strconv.ParseInt(string(offset), 16, 64)
	if err != nil || json.Unmarshal(text, &c) != nil {
		return record{}, 0, false
	}
	return c, synced, true
}

// errDamaged says that a line which was once kept cannot be read.
var errDamaged = errors.New("the log is damaged")

// parseLog reads a log. Good is where its good part ends.
func parseLog(data []byte) (records []record, good int64, err error) {
	bad := false
	for at := 0; at < len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			break // its last line was not written to the end
		}
		c, synced, ok := parseLine(data[at : at+end])
		switch {
		case !ok:
			bad = true
		case bad && synced > good:
			return nil, good, fmt.Errorf("%w at byte %d", errDamaged, good)
		case !bad:
			records = append(records, c)
			good = int64(at + end + 1)
		}
		at += end + 1
	}
	return records, good, nil
}

// loadRepository reads a repository; one that is not there is empty, and does not exist until something is appended.
func (r *Registry) loadRepository(name string) (*repository, error) {
	repo := newRepository(name, r)
	data, err := os.ReadFile(repo.logFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
		return repo, nil
	}
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", name, err)
	}
	records, good, err := parseLog(data)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", name, err)
	}
	if good < int64(len(data)) {
		if err := repo.cutTail(data, good); err != nil {
			return nil, fmt.Errorf("repository %s: cutting off what a crash left: %w", name, err)
		}
		r.log.Warn("registry: cut off what a crash left unfinished", "repository", name, "bytes", int64(len(data))-good)
	}
	for _, c := range records {
		repo.apply(c)
	}
	repo.size, repo.there = good, len(records) > 0
	return repo, nil
}

// cutTail takes away what follows the good part.
func (p *repository) cutTail(data []byte, good int64) error {
	f, err := p.registry.layer.Append(p.logFile)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(good), f.Sync(), f.Close())
}

// commit appends changes and syncs them, then makes them visible: all or none. The caller holds p.writing.
func (p *repository) commit(changes ...record) error {
	if p.broken {
		return fmt.Errorf("repository %s: its log could not be put right after an error; restart the registry", p.name)
	}
	if err := p.create(); err != nil {
		return outOf(fmt.Errorf("repository %s: %w", p.name, err))
	}
	var lines []byte
	for _, c := range changes {
		c.At = p.registry.now().Unix()
		line, err := c.line(p.size)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	if err := p.write(lines); err != nil {
		return outOf(fmt.Errorf("repository %s: %w", p.name, err))
	}
	p.size += int64(len(lines))
	now := p.registry.now().Unix()
	p.mu.Lock()
	for _, c := range changes {
		c.At = now
		p.apply(c)
	}
	p.mu.Unlock()
	p.registry.cache.resized(p)
	p.compactIfWorthIt()
	return nil
}

// create makes the log with its first line. One that an earlier process wrote is synced before the first change: what
// that one wrote last may not be on disk yet, and the next line vouches for it.
func (p *repository) create() error {
	if p.synced {
		return nil
	}
	if err := p.registry.dirs.Ensure(filepath.Dir(p.logFile)); err != nil {
		return err
	}
	if p.exists() {
		return p.syncAgain()
	}
	first, err := record{Op: opLog, Version: 1, At: p.registry.now().Unix()}.line(0)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(p.registry.layer, p.logFile, first); err != nil {
		return err
	}
	p.mu.Lock()
	p.size, p.there = int64(len(first)), true
	p.mu.Unlock()
	p.synced = true
	return nil
}

func (p *repository) syncAgain() error {
	f, err := p.registry.layer.Append(p.logFile)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), p.registry.layer.SyncDir(filepath.Dir(p.logFile))); err != nil {
		return err
	}
	p.synced = true
	return nil
}

func (p *repository) write(lines []byte) error {
	f, err := p.registry.layer.Append(p.logFile)
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		// Half a line, on a full disk say. It goes, or nothing more can be appended.
		if undo := errors.Join(f.Truncate(p.size), f.Sync()); undo != nil {
			p.broken = true
			err = errors.Join(err, undo)
		}
	}
	return errors.Join(err, f.Close())
}

// compactIfWorthIt writes the log anew when most of it is of the past. An error does not matter: the log is as it was.
func (p *repository) compactIfWorthIt() {
	if live := p.entries(); p.lines <= 2*live+1024 {
		return
	}
	if err := p.compact(); err != nil {
		p.lines = 0 // try again after as many changes more
		p.registry.log.Warn("registry: compacting a log", "repository", p.name, "error", err)
	}
}

func (p *repository) compact() error {
	size, lines := int64(0), 0
	err := durable.WriteFileFrom(p.registry.layer, p.logFile, func(w io.Writer) error {
		buffer := bytes.Buffer{}
		for c := range p.live() {
			// The file gets its name when all of it is synced, so each line can vouch for those before it.
			line, err := c.line(int64(buffer.Len()))
			if err != nil {
				return err
			}
			buffer.Write(line)
			lines++
		}
		size = int64(buffer.Len())
		_, err := buffer.WriteTo(w)
		return err
	})
	if err != nil {
		// The rename may have happened without its sync, so what the name stands for is looked up again.
		if info, statErr := os.Stat(p.logFile); statErr != nil || info.Size() != p.size {
			p.broken = true
		}
		return err
	}
	p.size, p.lines = size, lines
	return nil
}
