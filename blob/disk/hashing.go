package disk

import (
	"context"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/internal/durable"
)

// hashing writes to a file and hashes what the file took, so that the two agree whatever breaks off.
type hashing struct {
	file  durable.File
	hash  hash.Hash
	size  int64 // of the file
	max   int64 // bytes
	grown func(size int64)
}

// copyBuffers are large, as each one is a write and a piece of hash.
var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

func (w *hashing) copy(ctx context.Context, r io.Reader) error {
	buffer := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buffer)
	for {
		n, readErr := fill(r, buffer[:])
		if n > 0 {
			if err := w.write(buffer[:n]); err != nil {
				return err
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// fill reads until the buffer is full. Unlike io.ReadFull it hands on the reader's own error, which tells the end from
// a connection that broke.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = r.Read(buffer[n:])
		n += m
	}
	return n, err
}

func (w *hashing) write(p []byte) error {
	if w.size+int64(len(p)) > w.max {
		return blob.ErrTooLarge
	}
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if w.grown != nil {
		w.grown(w.size)
	}
	return err
}

func (w *hashing) digest(algorithm digest.Algorithm) digest.Digest {
	return digest.NewDigest(algorithm, w.hash)
}
