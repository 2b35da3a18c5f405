package oci

import "net/http"

// An Error is one code of the distribution specification; the same value on both sides of the wire.
type Error struct {
	Code   string // "MANIFEST_UNKNOWN"
	Status int    // the HTTP status that goes with it
	Text   string // what it means
}

func (e *Error) Error() string { return e.Text }

// With adds what it was about: "sha256:…", "tag v1". The detail is sent to clients, so it holds nothing internal.
// errors.Is finds e in the result.
func (e *Error) With(detail string) error { return &Detailed{Err: e, Detail: detail} }

// A Detailed is an Error with what it was about.
type Detailed struct {
	Err    *Error
	Detail string
}

func (d *Detailed) Error() string { return d.Err.Text + ": " + d.Detail }

// Unwrap returns the Error.
func (d *Detailed) Unwrap() error { return d.Err }

// The codes, with the status that distribution gives them (OCI distribution specification, "Error Codes").
var (
	ErrBlobUnknown         = &Error{"BLOB_UNKNOWN", http.StatusNotFound, "blob unknown to the registry"}
	ErrBlobUploadInvalid   = &Error{"BLOB_UPLOAD_INVALID", http.StatusBadRequest, "blob upload invalid"}
	ErrBlobUploadUnknown   = &Error{"BLOB_UPLOAD_UNKNOWN", http.StatusNotFound, "blob upload unknown to the registry"}
	ErrDigestInvalid       = &Error{"DIGEST_INVALID", http.StatusBadRequest, "digest does not match the content"}
	ErrManifestBlobUnknown = &Error{"MANIFEST_BLOB_UNKNOWN", http.StatusNotFound, "manifest refers to unknown content"}
	ErrManifestInvalid     = &Error{"MANIFEST_INVALID", http.StatusBadRequest, "manifest invalid"}
	ErrManifestUnknown     = &Error{"MANIFEST_UNKNOWN", http.StatusNotFound, "manifest unknown to the registry"}
	ErrNameInvalid         = &Error{"NAME_INVALID", http.StatusBadRequest, "invalid repository name"}
	ErrNameUnknown         = &Error{"NAME_UNKNOWN", http.StatusNotFound, "repository unknown to the registry"}
	ErrSizeInvalid         = &Error{"SIZE_INVALID", http.StatusBadRequest, "length does not match the content"}
	ErrUnauthorized        = &Error{"UNAUTHORIZED", http.StatusUnauthorized, "authentication required"}
	ErrDenied              = &Error{"DENIED", http.StatusForbidden, "access denied"}
	ErrUnsupported         = &Error{"UNSUPPORTED", http.StatusMethodNotAllowed, "the operation is not supported"}
	ErrTooManyRequests     = &Error{"TOOMANYREQUESTS", http.StatusTooManyRequests, "too many requests"}
	ErrRangeInvalid        = &Error{"RANGE_INVALID", http.StatusRequestedRangeNotSatisfiable, "invalid content range"}
	ErrUnavailable         = &Error{"UNAVAILABLE", http.StatusServiceUnavailable, "the registry is not available"}

	// Distribution's own additions, and the statuses that the specification gives without a code of their own.
	ErrTagInvalid       = &Error{"TAG_INVALID", http.StatusBadRequest, "invalid tag"}
	ErrPageInvalid      = &Error{"PAGINATION_NUMBER_INVALID", http.StatusBadRequest, "invalid number of results requested"}
	ErrManifestTooLarge = &Error{"MANIFEST_INVALID", http.StatusRequestEntityTooLarge, "manifest too large"}
	ErrBlobTooLarge     = &Error{"SIZE_INVALID", http.StatusRequestEntityTooLarge, "blob too large"}
	ErrUploadBusy       = &Error{"BLOB_UPLOAD_INVALID", http.StatusConflict, "another request is writing to this upload"}
	ErrFull             = &Error{"UNAVAILABLE", http.StatusInsufficientStorage, "the registry has no space left"}
)
