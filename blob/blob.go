// Package blob keeps bytes under their digest. It knows nothing of repositories: who may see a blob, and which are still
// needed, is for its users to say (oci/hosted). blob/disk keeps them in a directory.
//
// A blob is written once and never changed. What Finish or Put acknowledged is kept through a crash, and nothing of an
// upload can be read before that.
package blob

import (
	"context"
	_ "crypto/sha256" // the two algorithms that digests may have
	_ "crypto/sha512"
	"errors"
	"io"
	"iter"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// The errors of this room, found with errors.Is.
var (
	ErrNotFound      = errors.New("no such blob")
	ErrDigest        = errors.New("digest does not match the content")
	ErrUploadUnknown = errors.New("no such upload")
	ErrOffset        = errors.New("the upload does not stand at that offset")
	ErrBusy          = errors.New("another call is writing to the upload")
	ErrTooLarge      = errors.New("blob too large")
	ErrTooMany       = errors.New("too many uploads under way")
	ErrFull          = errors.New("no space left")
)

// An Info is a blob's digest and size.
type Info struct {
	Digest digest.Digest
	Size   int64 // bytes
}

// A Content is an open blob: a file of this machine, which the system can send to a client by itself, or an address
// where a client may fetch it. Exactly one of the two is set.
type Content struct {
	Info
	File     *os.File // at its beginning; the caller closes it
	Location string   // an absolute URL, valid for some minutes
}

// A Keeper keeps blobs of sha256 and sha512 digests, which are well-formed: callers check that. It is safe for concurrent
// use. It has one method for each of the five things that are done with a blob.
type Keeper interface {
	// Open opens a blob. Error: ErrNotFound.
	Open(ctx context.Context, d digest.Digest) (Content, error)
	// Read returns a small blob whole. Errors: ErrNotFound; ErrTooLarge, when it has more than limit bytes.
	Read(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
	// Stat tells a blob's size. Error: ErrNotFound.
	Stat(ctx context.Context, d digest.Digest) (Info, error)
	// Put keeps what r has. Errors: ErrDigest, ErrTooLarge, ErrFull; then nothing is kept.
	Put(ctx context.Context, d digest.Digest, r io.Reader) (Info, error)
	// Delete takes a blob away; whoever has it open reads on. Error: ErrNotFound.
	Delete(ctx context.Context, d digest.Digest) error
}

// An Uploader takes blobs piece by piece. Uploads outlive a restart of the process.
type Uploader interface {
	// Start begins an upload. Errors: ErrTooMany, ErrFull.
	Start(ctx context.Context, options StartOptions) (Upload, error)
	// Upload finds an upload by its id. Error: ErrUploadUnknown.
	Upload(ctx context.Context, id string) (Upload, error)
}

// A Walker tells what there is, in no order. What comes or goes meanwhile may be told or not.
type Walker interface {
	Blobs(ctx context.Context) iter.Seq2[Info, error]
	Uploads(ctx context.Context) iter.Seq2[UploadInfo, error]
}

// A Store is all of it.
type Store interface {
	Keeper
	Uploader
	Walker
}

// StartOptions say what is known of an upload at its start.
type StartOptions struct {
	Algorithm digest.Algorithm // expected; "" is sha256. Finishing with another one reads the content once more
	Note      string           // kept with the upload for the caller: whose it is
}

// An UploadInfo is how far an upload has come.
type UploadInfo struct {
	ID       string // letters, digits and hyphens
	Note     string
	Size     int64 // bytes taken
	Modified time.Time
}

// An Upload is a blob on its way in. One call is served at a time, a second one gets ErrBusy. Every method:
// ErrUploadUnknown once it is finished or cancelled.
type Upload interface {
	// Info tells how far it is.
	Info() UploadInfo
	// Append takes r to its end. Offset is where the upload stands, or -1 for wherever that is. What came before r
	// broke off, or the disk was full, is kept and counted. Errors: ErrOffset, ErrTooLarge, ErrFull, r's own.
	Append(ctx context.Context, offset int64, r io.Reader) (UploadInfo, error)
	// Finish makes it a blob. Error: ErrDigest, and the upload is gone.
	Finish(ctx context.Context, d digest.Digest) (Info, error)
	// Cancel takes it away.
	Cancel(ctx context.Context) error
}
