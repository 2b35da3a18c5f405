package leaks

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// How many findings and errors one Scan tells; more of them say nothing more.
const (
	mostFindings = 100
	mostErrors   = 10
)

// A Finding is one match. It holds neither the secret nor what stands around it.
type Finding struct {
	Place  string // a file, a database's column, a process, an answer; "… > gzip at 512" for what was packed in it
	Form   string // how the secret is written there
	Offset int64  // bytes from the place's beginning; of a name, from the name's
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s, at byte %d", f.Place, f.Form, f.Offset) }

// Scan reads r to its end and returns where the secret is in it, at most 100 findings, by place and offset. An error is
// r's, or says what in it could not be unpacked; the findings before it are returned with it. It needs memory for a
// window of r and for one of each thing packed in it, however long they are.
func (n *Needle) Scan(r io.Reader, place string) ([]Finding, error) {
	shared := &result{limit: n.limit}
	s := scan{needle: n, place: place, result: shared}
	if err := s.read(r); err != nil {
		shared.fail(fmt.Errorf("read %s: %w", place, err))
	}
	return shared.sorted()
}

// ScanBytes is Scan for what is in memory already.
func (n *Needle) ScanBytes(b []byte, place string) ([]Finding, error) {
	shared := &result{limit: n.limit}
	s := scan{needle: n, place: place, result: shared}
	s.look(b, len(b), 0)
	s.end()
	return shared.sorted()
}

// A result is what a scan and those of its layers have found, at the same time.
type result struct {
	mu       sync.Mutex
	findings []Finding
	errs     []error
	open     int   // layers, now
	unpacked int64 // bytes
	limit    int64 // of unpacked
}

func (r *result) found(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.findings) < mostFindings {
		r.findings = append(r.findings, f)
	}
}

func (r *result) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) < mostErrors {
		r.errs = append(r.errs, err)
	}
}

// take counts unpacked bytes, and tells whether there may be more.
func (r *result) take(bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unpacked += int64(bytes)
	return r.unpacked <= r.limit
}

// enter counts the layers that are open, and tells why there may not be one more.
func (r *result) enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.unpacked > r.limit:
		return errTooMuch
	case r.open == mostOpen:
		return errTooMany
	}
	r.open++
	return nil
}

func (r *result) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

func (r *result) sorted() ([]Finding, error) {
	slices.SortStableFunc(r.findings, func(a, b Finding) int {
		if byPlace := strings.Compare(a.Place, b.Place); byPlace != 0 {
			return byPlace
		}
		return int(min(max(a.Offset-b.Offset, -1), 1))
	})
	return r.findings, errors.Join(r.errs...)
}

// A scan is one pass over one stream.
type scan struct {
	*result
	needle *Needle
	place  string
	depth  int // how many layers it is packed in
	layers []*io.PipeWriter
	under  sync.WaitGroup // the scans of layers
}

// read looks at the stream window by window. A match that begins in the last overlap bytes may not be complete yet, so
// these bytes are looked at again with the next window.
func (s *scan) read(r io.Reader) error {
	defer s.end()
	buffer := s.needle.buffers.Get().(*[]byte)
	defer s.needle.buffers.Put(buffer)
	kept, base := 0, int64(0)
	for {
		count, err := fill(r, (*buffer)[kept:])
		b := (*buffer)[:kept+count]
		s.feed(b[kept:])
		if err != nil {
			s.look(b, len(b), base)
			if err == io.EOF {
				return nil
			}
			return err
		}
		end := len(b) - s.needle.overlap
		s.look(b, end, base)
		kept = copy(*buffer, b[end:])
		base += int64(end)
	}
}

// fill is io.ReadFull, but the error is r's own: a stream that breaks off must not look like one that ends.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var count int
		count, err = r.Read(b[n:])
		n += count
	}
	return n, err
}

// look notes what begins in b before end; base is b's place in the stream.
func (s *scan) look(b []byte, end int, base int64) {
	s.needle.each(b, end, func(h hit) {
		if h.open != nil {
			s.begin(h.open, b[h.at:], base+int64(h.at))
			return
		}
		s.found(Finding{Place: s.place, Form: h.form, Offset: base + int64(h.at)})
	})
}

// feed gives the stream's next bytes to the layers that have begun and not ended.
func (s *scan) feed(b []byte) {
	if len(b) == 0 {
		return
	}
	s.layers = slices.DeleteFunc(s.layers, func(w *io.PipeWriter) bool {
		_, err := w.Write(b)
		return err != nil
	})
}

// end tells the layers that the stream is over, and waits for them.
func (s *scan) end() {
	for _, w := range s.layers {
		_ = w.Close() // never fails
	}
	s.layers = nil
	s.under.Wait()
}

// errLayer ends the pipe to a layer that needs no more bytes.
var errLayer = errors.New("the layer has ended")

// begin unpacks what begins at a position, if it is packed indeed: two to five bytes may look so by accident.
func (s *scan) begin(l *layer, b []byte, at int64) {
	place := fmt.Sprintf("%s > %s at %d", s.place, l.name, at)
	if s.depth == mostLayers {
		s.fail(fmt.Errorf("%s: %w", place, errTooDeep))
		return
	}
	if err := s.enter(); err != nil {
		s.fail(fmt.Errorf("%s: %w", place, err))
		return
	}
	r, w := io.Pipe()
	s.under.Go(func() {
		defer r.CloseWithError(errLayer)
		defer s.leave()
		unpacked, err := l.open(r)
		if err != nil {
			return // it was an accident
		}
		below := scan{result: s.result, needle: s.needle, place: place, depth: s.depth + 1}
		if err := below.read(&bounded{r: unpacked, result: s.result}); errors.Is(err, errTooMuch) {
			s.fail(fmt.Errorf("%s: %w", place, err))
		}
	})
	if _, err := w.Write(b); err == nil {
		s.layers = append(s.layers, w)
	}
}
