package leaks

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// SearchPaths searches files, and directories with all that is below them: names, where links point, every byte of
// regular files, and every value of SQLite databases. Links below a path are not followed, the path itself may be one.
// What is at or below a path in exclude is left out. A file that vanishes meanwhile is none; everything else that cannot
// be read is a failure, and so is a path that is not there.
func (n *Needle) SearchPaths(ctx context.Context, paths, exclude []string, report *Report) {
	left, err := absolute(exclude)
	if err != nil {
		report.fail("paths to leave out: %w", err)
		return
	}
	for _, path := range exclude {
		report.note("%s was left out, as told", path)
	}
	for _, path := range paths {
		root, err := resolve(path)
		if err != nil {
			report.fail("find %s: %w", path, err)
			continue
		}
		w := walker{needle: n, report: report, root: root, exclude: left}
		if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error { return w.visit(ctx, path, entry, err) }); err != nil {
			report.fail("walk %s: %w", root, err)
		}
	}
}

func resolve(path string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(whole)
}

// absolute makes paths comparable with those of a walk, whose root is resolved.
func absolute(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		whole, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		all = append(all, whole)
		if resolved, err := filepath.EvalSymlinks(whole); err == nil && resolved != whole {
			all = append(all, resolved)
		}
	}
	return all, nil
}

// A walker is one walk below one root.
type walker struct {
	needle  *Needle
	report  *Report
	root    string
	exclude []string
}

// visit is called for everything at and below the root.
func (w *walker) visit(ctx context.Context, path string, entry fs.DirEntry, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w.excluded(path) {
		if entry != nil && entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if err != nil {
		if path == w.root || !errors.Is(err, fs.ErrNotExist) {
			w.report.fail("read %w", err)
		}
		return nil
	}
	w.name(path)
	switch entry.Type() {
	case 0:
		w.file(ctx, path)
	case fs.ModeSymlink:
		if target, err := os.Readlink(path); err == nil {
			w.report.add(w.needle.ScanBytes([]byte(target), "where "+path+" points"))
		} else if !errors.Is(err, fs.ErrNotExist) {
			w.report.fail("read link: %w", err)
		}
	}
	return nil
}

func (w *walker) excluded(path string) bool {
	for _, left := range w.exclude {
		if path == left || strings.HasPrefix(path, strings.TrimSuffix(left, "/")+"/") {
			return true
		}
	}
	return false
}

// name searches a path below the root. A secret with a slash in it may be spread over several names; it is reported
// with the last of them only.
func (w *walker) name(path string) {
	w.report.change(func(r *Report) { r.Names++ })
	below := strings.TrimPrefix(path, w.root)
	hits := w.needle.find(below)
	for _, h := range hits[min(len(hits), len(w.needle.find(filepath.Dir(below)))):] {
		w.report.add([]Finding{{Place: "a name in " + w.root, Form: h.form, Offset: int64(h.at)}}, nil)
	}
}

// file searches a regular file. It is opened so that a pipe or link that has taken its place neither blocks nor leads
// elsewhere.
func (w *walker) file(ctx context.Context, path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) && path != w.root {
		return
	}
	if err != nil {
		w.report.fail("open file: %w", err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		w.report.fail("%s is no regular file any more", path)
		return
	}
	w.report.scan(w.needle, f, path)
	w.report.change(func(r *Report) { r.Files++ })
	if isDatabase(f) {
		w.database(ctx, path)
	}
}
