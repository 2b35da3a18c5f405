package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

const (
	maxResumes  = 8       // of one blob, without those that brought enough
	maxBarren   = 3       // of them in a row without a byte
	enoughBytes = 1 << 20 // from one answer: what cuts every gigabyte is a nuisance, not a registry that trickles
)

// Blob implements oci.Reader. The body goes on where its transfer broke off, with a renewed login where that is needed:
// as often as answers bring a mebibyte each, and a bounded number of times beyond that. A whole blob is verified, and its
// last byte is held back until its digest is right: a reader who gets a wrong one gets it short by a byte and then
// oci.ErrDigestInvalid, never complete. One that is longer than a manifest said that was read before is wrong as well, and
// read no further than that. A part of a blob cannot be verified. The body belongs to ctx: when it ends, so does the body.
func (c *Client) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	if err := checkBlob(repository, d); err != nil {
		return nil, err
	}
	if offset < 0 || length < -1 {
		return nil, oci.ErrRangeInvalid
	}
	s := &stream{ctx: ctx, client: c, call: c.blobCall(http.MethodGet, repository, d), digest: d, at: offset, size: c.sizes.of(repository, d), end: -1}
	s.told = s.size >= 0
	if length >= 0 {
		s.end = offset + length
	}
	if length == 0 {
		return c.noBytes(ctx, repository, d, offset)
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if offset == 0 && (length < 0 || s.end == s.size && s.size >= 0) {
		s.verifier = d.Verifier()
	}
	b := &oci.Blob{Descriptor: oci.Descriptor{MediaType: octets, Digest: d, Size: s.size}, Offset: offset, Length: -1, Body: s}
	if s.end >= 0 {
		b.Length = s.end - offset
	}
	return b, nil
}

// noBytes is a part of length 0, which no Range can ask for.
func (c *Client) noBytes(ctx context.Context, repository string, d digest.Digest, offset int64) (*oci.Blob, error) {
	found, err := c.StatBlob(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	if found.Size >= 0 && offset > found.Size {
		return nil, oci.ErrRangeInvalid
	}
	return &oci.Blob{Descriptor: found, Offset: offset, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// A stream is a blob's bytes from one or several answers.
type stream struct {
	ctx      context.Context
	client   *Client
	call     call
	digest   digest.Digest
	answer   *egress.Response
	body     io.ReadCloser
	at       int64 // of the next byte from the registry, in the whole blob
	from     int64 // where the answer's part began
	end      int64 // where the wanted part ends; -1 while not known
	size     int64 // of the whole blob; -1 while not known
	told     bool  // by a manifest
	verifier digest.Verifier

	held    byte // the last byte that came, while it is not known whether it is the blob's last
	holding bool
	resumes int
	barren  int
	begun   bool  // an answer was accepted
	err     error // the answer to every further Read
}

// open asks for the bytes from at on. A registry that ignores Range sends all of them, and the ones before are dropped.
func (s *stream) open() error {
	k := s.call
	k.header = http.Header{}
	switch {
	case s.end >= 0 && (s.at > 0 || s.end != s.size):
		k.header.Set("Range", fmt.Sprintf("bytes=%d-%d", s.at, s.end-1))
	case s.at > 0:
		k.header.Set("Range", fmt.Sprintf("bytes=%d-", s.at))
	}
	r, err := s.client.do(s.ctx, k)
	if err != nil {
		return err
	}
	if err := s.accept(k, r); err != nil {
		_ = r.Body.Close()
		return err
	}
	return nil
}

// accept takes an answer's body, standing at the wanted byte.
func (s *stream) accept(k call, r *egress.Response) error {
	start, size := int64(0), r.Length
	if r.Status == http.StatusPartialContent {
		var ok bool
		if start, size, ok = contentRange(r.Header.Get("Content-Range")); !ok || start != s.at {
			return contentError(k, r, oci.ErrUnavailable, "the registry sent another part of the blob than was asked for")
		}
	}
	switch {
	case s.size < 0 || size < 0 || size == s.size:
	case s.told:
		return contentError(k, r, oci.ErrDigestInvalid, "the blob has "+strconv.FormatInt(size, 10)+" bytes, and the manifest says "+strconv.FormatInt(s.size, 10))
	default:
		return contentError(k, r, oci.ErrUnavailable, "the blob's size changed from "+strconv.FormatInt(s.size, 10)+" to "+strconv.FormatInt(size, 10))
	}
	if size >= 0 {
		s.size = size
	}
	if s.size >= 0 && (s.end < 0 || s.end > s.size) {
		s.end = s.size
	}
	if s.size >= 0 && s.at > s.size || s.at == s.size && s.at > 0 && !s.begun {
		return contentError(k, r, oci.ErrRangeInvalid, "the blob has only "+strconv.FormatInt(s.size, 10)+" bytes")
	}
	s.answer, s.body, s.from, s.begun = r, r.Body, s.at, true
	if skip := s.at - start; skip > 0 {
		if _, err := io.CopyN(io.Discard, r.Body, skip); err != nil {
			return sendError(k, PlaceRegistry, s.client.base.Host, err)
		}
	}
	return nil
}

// contentRange reads "bytes 10-19/100"; the size is -1 where it is "*".
func contentRange(text string) (start, size int64, ok bool) {
	text, found := strings.CutPrefix(text, "bytes ")
	part, total, slash := strings.Cut(text, "/")
	first, last, dash := strings.Cut(part, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	if !found || !slash || !dash || err != nil || err2 != nil || start < 0 || end < start {
		return 0, 0, false
	}
	if total == "*" {
		return start, -1, true
	}
	size, err = strconv.ParseInt(total, 10, 64)
	return start, size, err == nil && end < size
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 || s.err != nil {
		return 0, s.err
	}
	for {
		n, err := s.fill(p)
		if err == nil && s.verifier != nil {
			_, _ = s.verifier.Write(p[:n])
			if n = s.hold(p, n); n == 0 {
				continue
			}
		}
		if err == io.EOF && s.verifier != nil {
			n, err = s.last(p)
		}
		s.err = err
		return n, err
	}
}

// last is the end of a whole blob: the byte held back, or what is wrong with it all.
func (s *stream) last(p []byte) (int, error) {
	if !s.verifier.Verified() {
		return 0, contentError(s.call, s.answer, oci.ErrDigestInvalid, "what came has another digest")
	}
	if !s.holding {
		return 0, io.EOF
	}
	p[0] = s.held
	return 1, io.EOF
}

// hold keeps the last of the n bytes in p back, and puts the one kept before in front.
func (s *stream) hold(p []byte, n int) int {
	last := p[n-1]
	if s.holding {
		copy(p[1:n], p[:n-1])
		p[0] = s.held
	} else {
		n--
	}
	s.held, s.holding = last, true
	return n
}

// fill reads from the answer, or the answers: io.EOF comes at the end of the wanted part, and only there.
func (s *stream) fill(p []byte) (int, error) {
	for {
		if s.end >= 0 {
			if s.at >= s.end {
				return 0, io.EOF
			}
			p = p[:min(int64(len(p)), s.end-s.at)]
		}
		n, err := s.body.Read(p)
		if s.at += int64(n); n > 0 {
			s.barren = 0
			return n, nil // an error is told by the next Read too, or by the count
		}
		if err == nil {
			continue
		}
		if err == io.EOF && s.end < 0 {
			return 0, io.EOF // chunked, and complete as such
		}
		if err := s.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume opens the rest after a break. Short bodies are breaks as well.
func (s *stream) resume(cause error) error {
	if cause != io.EOF && !errors.Is(cause, egress.ErrBroken) && !errors.Is(cause, egress.ErrTimeout) {
		return sendError(s.call, PlaceRegistry, s.client.base.Host, cause)
	}
	if cause == io.EOF {
		cause = contentError(s.call, s.answer, oci.ErrUnavailable, fmt.Sprintf("the transfer ended after %d of %d bytes", s.at, s.end))
	} else {
		cause = sendError(s.call, PlaceRegistry, s.client.base.Host, cause)
	}
	_ = s.body.Close()
	for free := s.at-s.from >= enoughBytes; ; free = false {
		if !free {
			s.resumes++
		}
		if s.resumes > maxResumes || s.barren >= maxBarren {
			return cause
		}
		s.barren++
		if err := s.client.config.Sleep(s.ctx, s.client.backoff(s.barren)); err != nil {
			return err
		}
		err := s.open()
		if err == nil || !(errors.Is(err, egress.ErrBroken) || errors.Is(err, egress.ErrTimeout)) {
			return err
		}
	}
}

// Close implements io.Closer.
func (s *stream) Close() error {
	if s.err == nil {
		s.err = errors.New("the blob is closed")
	}
	return s.body.Close()
}
