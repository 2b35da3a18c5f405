package agent

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// maxMirrorText is the longest message that runtimes are told, in bytes: they print it on one line, if at all.
const maxMirrorText = 1000

// failed makes of an error what the runtime is told, and keeps it among the node's troubles.
func (r *mirrorReader) failed(ctx context.Context, reference image.Reference, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !optional(reference, err) {
		r.mirror.trouble(doors.Mirror, reference.String(), err.Error(), pierhead.HintOf(err))
	}
	var answer *client.Error
	if errors.As(err, &answer) && answer.RetryAfter > 0 && r.answer != nil {
		r.answer.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(answer.RetryAfter.Seconds()))))
	}
	told := *statusOf(err)
	told.Text = mirrorText(reference, err)
	return &told
}

// optional tells of content that clients look for though it is mostly not there.
func optional(reference image.Reference, err error) bool {
	return isSignatureTag(reference.Tag()) && (errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown))
}

// isSignatureTag tells the tags under which signatures, attestations and referrers of a digest are kept.
func isSignatureTag(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") && len(tag) >= len("sha256-")+64
}

// statusOf is the registry's own answer where it gave one, as it was: a runtime reads much into 401, 403 and 404, so none is
// made into another. What kept the mirror from an answer is its own, and never "not found".
func statusOf(err error) *oci.Error {
	var known *oci.Error
	var answer *client.Error
	answered := errors.As(err, &answer) && answer.Place == client.PlaceRegistry && answer.Status >= 400
	switch found := errors.As(err, &known); {
	case answered && (!found || answer.Status >= 500):
		known = &oci.Error{Code: oci.ErrUnavailable.Code, Status: answer.Status}
		if answer.Code != "" {
			known.Code = answer.Code
		}
	case !found && (errors.Is(err, pierhead.ErrConflict) || errors.Is(err, pierhead.ErrNotAllowed) || errors.Is(err, egress.ErrRefused)):
		known = oci.ErrDenied
	case !found:
		known = oci.ErrUnavailable
	case errors.Is(err, oci.ErrDigestInvalid), errors.Is(err, oci.ErrManifestTooLarge): // what the registry sent, not what it was asked
		known = &oci.Error{Code: known.Code, Status: http.StatusBadGateway}
	}
	return known
}

// mirrorText is the cause first, then what to do: the runtime has named the image already, and cuts what is long.
func mirrorText(reference image.Reference, err error) string {
	text := err.Error()
	for _, name := range []string{reference.String(), reference.Name()} {
		text = strings.TrimPrefix(text, name)
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, " cannot be pulled: "), " was ")
	if hint := pierhead.HintOf(err); hint != "" && len(text)+len(hint) < maxMirrorText {
		text += "; " + hint
	}
	return egress.Clean(text, maxMirrorText)
}
