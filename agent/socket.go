package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
)

// SocketGroup is the group that may ask at the socket where nothing else is said and there is such a group.
const SocketGroup = "pierhead"

// longestSocket is what fits into a socket's address on every system, less the end of a name in the making.
const longestSocket = 96

// A Socket is where the runtimes' helpers of this machine ask. Who may open it may ask: the file's owner, root, and one
// group.
type Socket struct {
	net.Listener
	path string
	who  string
	lock *durable.Lock
	made os.FileInfo
	once sync.Once
}

// ListenSocket takes a path for Config.Socket, for one process at a time. What an earlier one left there is replaced; the
// name always stands for a socket that is open to those whom it should be. An empty group is SocketGroup, where that is
// there. Errors: pierhead.ErrBadInput, pierhead.ErrConflict when another agent has the socket.
func ListenSocket(path, group string) (*Socket, error) {
	gid, err := socketGroup(group)
	if err != nil {
		return nil, err
	}
	if len(path) > longestSocket || !filepath.IsAbs(path) {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the socket %q is not an absolute path of at most %d characters", path, longestSocket), "choose another one with --socket")
	}
	if err := socketDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	lock, err := durable.AcquireLock(path + ".lock")
	if errors.Is(err, durable.ErrLocked) {
		return nil, pierhead.NewProblem(pierhead.ErrConflict, "another agent of this machine has the socket "+path, "stop it first, or choose another path with --socket")
	}
	if err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the socket cannot be made: %v", err), "choose another path with --socket")
	}
	s := &Socket{path: path, lock: lock}
	if err := s.listen(gid); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// socketGroup is the number of the group, or -1 for none.
func socketGroup(name string) (int, error) {
	chosen := name
	if chosen == "" {
		chosen = SocketGroup
	}
	g, err := user.LookupGroup(chosen)
	if err != nil {
		if _, second := strconv.Atoi(chosen); second == nil {
			g, err = user.LookupGroupId(chosen)
		}
	}
	switch {
	case err == nil:
		gid, err := strconv.Atoi(g.Gid)
		if mine, _ := os.Getgroups(); name == "" && os.Geteuid() != 0 && !slices.Contains(mine, gid) {
			return -1, nil // it is there, and this user has no part in it
		}
		return gid, err
	case name == "":
		return -1, nil
	}
	return 0, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("there is no group %q on this machine", name), "make it (groupadd --system "+name+"), or name another with --socket-group")
}

// socketDirectory makes the directory, or looks whether somebody else could put another socket in it.
func socketDirectory(directory string) error {
	if err := os.MkdirAll(filepath.Dir(directory), 0o755); err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the socket's directory cannot be made: %v", err), "choose another path with --socket")
	}
	err := os.Mkdir(directory, 0o755)
	if err == nil {
		err = os.Chmod(directory, 0o755) // whatever the umask is: helpers of the group have to pass
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the socket's directory cannot be made: %v", err), "choose another path with --socket")
	}
	info, err := os.Stat(directory)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the socket's directory: %v", err), "choose another path with --socket")
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	foreign := known && int(owner.Uid) != os.Geteuid() && owner.Uid != 0
	if !info.IsDir() || foreign || info.Mode().Perm()&0o022 != 0 {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("others may put files into %s, where the socket should be", directory),
			"choose a path in a directory of its own with --socket, or take it into hand: chown and chmod 0755")
	}
	return nil
}

// listen makes the socket beside its place and moves it there when it is as it should be: until then whoever asks finds
// what was there before.
func (s *Socket) listen(gid int) error {
	info, err := os.Lstat(s.path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return pierhead.NewProblem(pierhead.ErrBadInput, s.path+" is there and is no socket", "move it away, or choose another path with --socket")
	case err == nil && answers(s.path):
		return pierhead.NewProblem(pierhead.ErrConflict, "another program answers at the socket "+s.path, "stop it first, or choose another path with --socket")
	}
	making := s.path + ".new"
	_ = os.Remove(making) // the lock is ours, so nobody else is making one
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: making, Net: "unix"})
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("cannot listen on %s: %v", s.path, err), "choose another path with --socket")
	}
	listener.SetUnlinkOnClose(false)
	s.Listener = listener
	if err = s.open(making, gid); err == nil {
		err = os.Rename(making, s.path)
	}
	if err == nil {
		s.made, err = os.Lstat(s.path)
	}
	if err != nil {
		listener.Close()
		os.Remove(making)
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the socket cannot be given to those who may ask: %v", err), "start as root or as a member of the group, or name another with --socket-group")
	}
	return nil
}

// open sets who may ask.
func (s *Socket) open(path string, gid int) error {
	s.who = "root"
	if os.Geteuid() != 0 {
		s.who = "root and the user who started this"
	}
	mode := os.FileMode(0o600)
	if gid >= 0 {
		if err := os.Lchown(path, -1, gid); err != nil {
			return err
		}
		mode = 0o660
		name := strconv.Itoa(gid)
		if g, err := user.LookupGroupId(name); err == nil {
			name = g.Name
		}
		s.who += ", and the group " + name
	}
	return os.Chmod(path, mode)
}

// answers tells whether somebody listens at a socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil || errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded)
}

// Path is where it is.
func (s *Socket) Path() string { return s.path }

// WhoMayAsk says it for the log.
func (s *Socket) WhoMayAsk() string { return s.who }

// Close ends it, and takes the name away unless it stands for another socket by now.
func (s *Socket) Close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		if now, second := os.Lstat(s.path); second == nil && os.SameFile(now, s.made) {
			_ = os.Remove(s.path)
		}
		err = errors.Join(s.Listener.Close(), s.lock.Close())
	})
	return err
}
