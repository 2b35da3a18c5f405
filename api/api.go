// Package api is the wire: the JSON types of /api/v1, their conversions to and from the nouns, the error envelope, and a
// Go client for every route. The server, the command line and the agent speak through it; the OpenAPI document is made
// from its types. Keys are snake_case, times RFC 3339, and fields that count something say their unit.
package api

import "time"

// Prefix is where the API's paths begin.
const Prefix = "/api/v1"

// MaxBody is how many bytes of JSON a request may have.
const MaxBody = 1 << 20

// MaxLogChunk is how many bytes of log a node may append in one request.
const MaxLogChunk = 1 << 20

// MaxWait is how long the server holds a long poll at most.
const MaxWait = 60 * time.Second

// timeOf turns the zero time into an absent one.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// nounTime is timeOf's way back.
func nounTime(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// mapped converts a list and never returns nil, so that an empty list is [] on the wire.
func mapped[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, item := range list {
		out = append(out, convert(item))
	}
	return out
}
