package server

import (
	"strconv"
	"strings"

	"pierhead.dev/pierhead/oci"
)

// parseRange reads a Range header (RFC 9110, section 14) for content of so many bytes. Without one, with one of several
// parts, or in another unit, the whole content is meant: partial is false. Error: ErrRangeInvalid, when nothing of the
// content is in it.
func parseRange(header string, size int64) (offset, length int64, partial bool, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, size, false, nil
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, size, false, nil
	}
	if from == "" { // the last so many
		last, ok := parseOffset(to)
		if !ok {
			return 0, size, false, nil
		}
		if last == 0 || size == 0 {
			return 0, 0, false, oci.ErrRangeInvalid
		}
		last = min(last, size)
		return size - last, last, true, nil
	}
	first, ok := parseOffset(from)
	if !ok {
		return 0, size, false, nil
	}
	end := size - 1
	if to != "" {
		if end, ok = parseOffset(to); !ok {
			return 0, size, false, nil
		}
		end = min(end, size-1)
	}
	if first >= size || end < first {
		return 0, 0, false, oci.ErrRangeInvalid
	}
	return first, end - first + 1, true, nil
}

// parseContentRange reads the Content-Range of an uploaded chunk: "<first>-<last>", both within it (OCI distribution
// specification, "Pushing a blob in chunks"). Some clients write it as HTTP does, "bytes <first>-<last>/<size or *>".
// Without a header, offset and length are -1: the chunk goes where the upload stands. Error: ErrRangeInvalid.
func parseContentRange(header string) (offset, length int64, err error) {
	if header == "" {
		return -1, -1, nil
	}
	spec := strings.TrimPrefix(strings.TrimPrefix(header, "bytes "), "bytes=")
	spec, _, _ = strings.Cut(spec, "/")
	from, to, ok := strings.Cut(spec, "-")
	first, okFirst := parseOffset(from)
	last, okLast := parseOffset(to)
	if !ok || !okFirst || !okLast || last < first {
		return 0, 0, oci.ErrRangeInvalid
	}
	return first, last - first + 1, nil
}

// maxOffset leaves room for a sum. What is larger is read as this: clients write "to the end" with the largest number
// that they have.
const maxOffset = 1e18 - 1

// parseOffset reads digits only.
func parseOffset(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil { // out of range, as there are only digits
		return maxOffset, true
	}
	return min(n, maxOffset), true
}
