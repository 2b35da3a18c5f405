package resolve

import "strings"

// How specific a pattern is, compared from left to right, higher wins:
//
//  1. the host has no wildcard
//  2. literal characters of the host
//  3. path segments without a wildcard
//  4. literal characters of the path, slashes included
//  5. an exact path, then one with a wildcard inside a segment, then "/*"
//  6. a literal tag, then one with a wildcard, then none
//  7. literal characters of the tag, so that :v1* comes before :*
//  8. it lists the project, rather than being open to all
//
// 1 and 2 are a hostRank, 3 to 7 a pathRank; together with 8 they are a key. Equal keys of two registries are a tie.
type (
	hostRank uint32 // 1 + 8 bits
	pathRank uint32 // 8 + 8 + 2 + 2 + 8 bits
	key      uint64
)

const pathRankBits = 28

func hostRankOf(host string) hostRank {
	stars := strings.Count(host, "*")
	rank := hostRank(min(len(host)-stars, 255))
	if stars == 0 {
		rank |= 1 << 8
	}
	return rank
}

// pathRankOf takes the path without its last "/*".
func pathRankOf(path string, subtree bool, tag string) pathRank {
	plain, stars := 0, strings.Count(path, "*")
	if path != "" {
		for segment := range strings.SplitSeq(path, "/") {
			if stars == 0 || !strings.Contains(segment, "*") {
				plain++
			}
		}
	}
	characters := len(path) - stars
	if subtree && path != "" {
		characters++ // the slash before the last "*"
	}
	kind := 2
	if subtree {
		kind = 0
	} else if stars > 0 {
		kind = 1
	}
	tagStars := strings.Count(tag, "*")
	tagKind := 0
	if tag != "" {
		tagKind = 2
		if tagStars > 0 {
			tagKind = 1
		}
	}
	rank := pathRank(min(plain, 255))
	rank = rank<<8 | pathRank(min(characters, 255))
	rank = rank<<2 | pathRank(kind)
	rank = rank<<2 | pathRank(tagKind)
	return rank<<8 | pathRank(min(len(tag)-tagStars, 255))
}

func keyOf(host hostRank, path pathRank, open bool) key {
	k := (key(host)<<pathRankBits | key(path)) << 1
	if !open {
		k |= 1
	}
	return k
}
