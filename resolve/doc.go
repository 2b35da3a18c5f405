// Package resolve finds the registry that an image belongs to, and says why. It is pure: a Table is made once per
// snapshot of an organization's registries, never changes, and answers from memory.
//
// [Table.Match] answers one [Question] in about half a microsecond among a million patterns, without allocating.
// [Table.Refusals] tells, for explain only, why every other pattern of the same host did not win. [Conflicts] is what
// saving a registry asks, so that Match never meets two patterns between which nothing decides.
//
// # How a table finds a pattern
//
// The work of Match must not grow with the number of patterns, also where they all have one host, one path prefix, or
// a wildcard in the same segment. Every pattern has a shape: how many segments, which of them have a wildcard, whether
// it ends in "/*", what it says of tags. What is literal in it, hashed together with host and shape, is its key. To
// find what could match a reference, take each shape that the host has (mostly three or four), pick from the reference
// what is literal in that shape, and look that key up in one flat hash table. Where many patterns share a key because
// they differ only within their wildcards ("team-a*/app", "team-b*/app"), a piece of that text becomes part of the
// key: the anchor. Hosts with wildcards are found in the same way, with labels for segments.
//
// What is left is a host whose patterns have very many shapes: each way of choosing which segments have a wildcard is
// one more to try, some tens of nanoseconds each, unless a pattern with fewer wildcards already matched.
//
// A hit is always verified against the pattern's text, so hashing decides how fast an answer comes, never which. Order
// is by specificity (specificity.go) and then by registry name; nothing depends on the order of a map or of the input.
package resolve
