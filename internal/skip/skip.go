// Package skip goes on with a stream that is read again from its beginning: what an earlier reading has brought is left
// out.
package skip

import "io"

// A Writer leaves out the first Skip bytes and passes those after them on.
type Writer struct {
	To     io.Writer
	Skip   int64 // bytes still to be left out; not negative
	Passed int64 // bytes that To has taken
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	left := min(w.Skip, int64(len(p)))
	w.Skip -= left
	if left == int64(len(p)) {
		return len(p), nil
	}
	n, err := w.To.Write(p[left:])
	w.Passed += int64(n)
	return int(left) + n, err
}
