package durabletest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// A Loss says what a crash does to changes that were not synced.
type Loss int

// The losses.
const (
	Kept    Loss = iota // nothing is lost: the process was killed, the machine runs on
	Dropped             // all of it is lost
	Torn                // names are kept, a file's last bytes are cut, or read as zeros
	Mixed               // each is lost, torn or kept at random
)

func (l Loss) String() string { return [...]string{"kept", "dropped", "torn", "mixed"}[l] }

// Losses is all of them.
var Losses = []Loss{Kept, Dropped, Torn, Mixed}

// node is a file or a directory as it is, and as the disk is sure to have it.
type node struct {
	dir             bool
	names, kept     map[string]*node // of a directory
	content, synced []byte           // of a file
	linked          string           // where the file has been rebuilt already: further names are hard links
}

func newDir() *node { return &node{dir: true, names: map[string]*node{}, kept: map[string]*node{}} }

// Rebuild makes in dir, which is empty, what a crash after n changes would have left. The seed is for Mixed.
func (r *Recorder) Rebuild(dir string, n int, loss Loss, seed uint64) error {
	r.mu.Lock()
	ops := r.ops[:n:n]
	r.mu.Unlock()
	root := newDir()
	inodes := map[int]*node{}
	for _, o := range ops {
		if err := apply(root, inodes, o); err != nil {
			return fmt.Errorf("replaying %s: %w", o, err)
		}
	}
	c := crash{loss: loss, random: rand.New(rand.NewPCG(seed, uint64(n)))}
	return c.write(dir, root)
}

func apply(root *node, inodes map[int]*node, o op) error {
	switch o.kind {
	case opCreate:
		inodes[o.inode] = &node{}
		return set(root, o.to, inodes[o.inode])
	case opWrite:
		f := inodes[o.inode]
		f.content = append(f.content[:len(f.content):len(f.content)], o.data...)
	case opTruncate:
		f := inodes[o.inode]
		f.content = f.content[:o.size]
	case opSync:
		f := inodes[o.inode]
		f.synced = f.content
	case opMkdir:
		return set(root, o.to, newDir())
	case opSyncDir:
		d, err := find(root, o.from)
		if err != nil {
			return err
		}
		d.kept = maps.Clone(d.names)
	case opRename, opLink:
		f, err := find(root, o.from)
		if err != nil {
			return err
		}
		if o.kind == opRename {
			if err := set(root, o.from, nil); err != nil {
				return err
			}
		}
		return set(root, o.to, f)
	case opRemove:
		return set(root, o.from, nil)
	}
	return nil
}

func find(root *node, path string) (*node, error) {
	n := root
	if path == "." {
		return n, nil
	}
	for _, part := range strings.Split(path, string(filepath.Separator)) {
		if n = n.names[part]; n == nil {
			return nil, fmt.Errorf("%s: no such file", path)
		}
	}
	return n, nil
}

func set(root *node, path string, child *node) error {
	parent, err := find(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	if child == nil {
		delete(parent.names, filepath.Base(path))
	} else {
		parent.names[filepath.Base(path)] = child
	}
	return nil
}

type crash struct {
	loss   Loss
	random *rand.Rand
}

func (c *crash) write(dir string, n *node) error {
	names := c.namesOf(n)
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted) // one seed, one result
	for _, name := range sorted {
		child, path := names[name], filepath.Join(dir, name)
		var err error
		switch {
		case child.dir:
			if err = os.Mkdir(path, 0o700); err == nil {
				err = c.write(path, child)
			}
		case child.linked != "":
			err = os.Link(child.linked, path)
		default:
			child.linked = path
			err = os.WriteFile(path, c.contentOf(child), 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *crash) namesOf(n *node) map[string]*node {
	switch c.loss {
	case Dropped:
		return n.kept
	case Mixed:
		mixed := map[string]*node{}
		for _, name := range union(n.names, n.kept) {
			child := n.names[name]
			if child != n.kept[name] && c.random.IntN(2) == 0 {
				child = n.kept[name]
			}
			if child != nil {
				mixed[name] = child
			}
		}
		return mixed
	}
	return n.names
}

func union(a, b map[string]*node) []string {
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (c *crash) contentOf(n *node) []byte {
	if string(n.content) == string(n.synced) {
		return n.content
	}
	choice := c.loss
	if c.loss == Mixed {
		choice = []Loss{Kept, Dropped, Torn}[c.random.IntN(3)]
	}
	switch choice {
	case Dropped:
		return n.synced
	case Torn:
		return c.torn(n)
	}
	return n.content
}

// torn cuts what was not synced somewhere; or leaves zeros from there on, as a file system does that wrote the size before
// the data; or has zeros in the middle, where a later write reached the disk before an earlier one.
func (c *crash) torn(n *node) []byte {
	safe := len(n.synced)
	if len(n.content) <= safe {
		return n.synced // it was cut shorter; the old content is back
	}
	cut := safe + c.random.IntN(len(n.content)-safe)
	out := append([]byte(nil), n.content...)
	switch c.random.IntN(3) {
	case 0:
		return out[:cut]
	case 1:
		clear(out[cut:])
	case 2:
		clear(out[cut : cut+c.random.IntN(len(out)-cut)+1])
	}
	return out
}
