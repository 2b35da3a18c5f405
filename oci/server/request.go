package server

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// A Kind is what a request wants; each has one handler and needs one set of rights.
type Kind string

// The kinds. HEAD is of the kind of its GET.
const (
	KindPing           Kind = "ping"
	KindManifest       Kind = "manifest"
	KindManifestPut    Kind = "manifest put"
	KindManifestDelete Kind = "manifest delete"
	KindTagDelete      Kind = "tag delete"
	KindBlob           Kind = "blob"
	KindBlobDelete     Kind = "blob delete"
	KindUploadStart    Kind = "upload start" // with Digest: the whole blob in one request
	KindMount          Kind = "mount"
	KindUploadStatus   Kind = "upload status"
	KindUploadAppend   Kind = "upload append"
	KindUploadFinish   Kind = "upload finish"
	KindUploadCancel   Kind = "upload cancel"
	KindTags           Kind = "tags"
	KindReferrers      Kind = "referrers"
	KindCatalog        Kind = "catalog"
)

// A Request is a request to a registry, read and checked: names and digests are well-formed.
type Request struct {
	Kind       Kind
	Repository string
	Reference  string        // of a manifest: the tag or digest
	Digest     digest.Digest // of a blob, a mount, a finished upload, referrers; of a manifest that is named by digest
	Tags       []string      // of KindManifestPut: all that it is to have
	UploadID   string
	Algorithm  digest.Algorithm // of KindUploadStart, when the client said which
	From       string           // of KindMount: the repository; "" is any that the caller may pull from
	Query      url.Values       // parsed for kinds that have parameters; nil for others
}

// maxTags bounds the tags of one push; the specification asks for ten at least.
const maxTags = 64

// place is where a path points to, before the method is looked at.
type place int

const (
	placeNone place = iota
	placePing
	placeManifest
	placeBlob
	placeUploads
	placeUpload
	placeTags
	placeReferrers
	placeCatalog
)

// kinds is the table of methods. HEAD stands for GET.
var kinds = map[place]map[string]Kind{
	placePing:      {http.MethodGet: KindPing},
	placeManifest:  {http.MethodGet: KindManifest, http.MethodPut: KindManifestPut, http.MethodDelete: KindManifestDelete},
	placeBlob:      {http.MethodGet: KindBlob, http.MethodDelete: KindBlobDelete},
	placeUploads:   {http.MethodPost: KindUploadStart},
	placeUpload:    {http.MethodGet: KindUploadStatus, http.MethodPatch: KindUploadAppend, http.MethodPut: KindUploadFinish, http.MethodDelete: KindUploadCancel},
	placeTags:      {http.MethodGet: KindTags},
	placeReferrers: {http.MethodGet: KindReferrers},
	placeCatalog:   {http.MethodGet: KindCatalog},
}

var errNoRoute = &oci.Error{Code: "UNSUPPORTED", Status: http.StatusNotFound, Text: "there is nothing at this address"}

// parse reads a request. Errors are oci.Errors.
func parse(method string, u *url.URL) (Request, error) {
	where, name, last := split(u.Path)
	if where == placeNone {
		return Request{}, errNoRoute
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	kind, ok := kinds[where][method]
	if !ok {
		return Request{}, oci.ErrUnsupported.With(method)
	}
	q := Request{Kind: kind, Repository: name}
	if where != placePing && where != placeCatalog && !oci.ValidRepository(name) {
		return Request{}, oci.ErrNameInvalid
	}
	switch kind {
	case KindBlob, KindPing, KindUploadStatus, KindUploadAppend, KindUploadCancel, KindManifest:
		// no parameters; clients send some all the same, as `ns`
	default:
		q.Query = u.Query()
	}
	return q, q.read(where, last)
}

// methods are those that a path has.
func methods(path string) []string {
	where, _, _ := split(path)
	names := slices.Sorted(maps.Keys(kinds[where]))
	if slices.Contains(names, http.MethodGet) {
		names = append(names, http.MethodHead)
	}
	return names
}

// split finds out where a path points to. It looks from the end, as a repository's name may have parts like "blobs".
func split(path string) (where place, name, last string) {
	path, ok := strings.CutPrefix(path, "/v2")
	if !ok {
		return placeNone, "", ""
	}
	if path == "" || path == "/" {
		return placePing, "", ""
	}
	if path == "/_catalog" {
		return placeCatalog, "", ""
	}
	if path[0] != '/' {
		return placeNone, "", ""
	}
	path = path[1:]
	if name, ok := strings.CutSuffix(path, "/tags/list"); ok {
		return placeTags, name, ""
	}
	for _, suffix := range []string{"/blobs/uploads/", "/blobs/uploads"} {
		if name, ok := strings.CutSuffix(path, suffix); ok {
			return placeUploads, name, ""
		}
	}
	rest, last, ok := cutLast(path)
	if !ok || last == "" {
		return placeNone, "", ""
	}
	for _, word := range placeWords {
		if name, ok := strings.CutSuffix(rest, word.suffix); ok {
			return word.place, name, last
		}
	}
	return placeNone, "", ""
}

// placeWords stand before the last part of a path; a longer one stands before one that it ends in.
var placeWords = []struct {
	suffix string
	place  place
}{{"/manifests", placeManifest}, {"/blobs/uploads", placeUpload}, {"/blobs", placeBlob}, {"/referrers", placeReferrers}}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

// read fills in what the last part of the path and the parameters say.
func (q *Request) read(where place, last string) error {
	var err error
	switch where {
	case placeManifest:
		return q.readReference(last)
	case placeBlob, placeReferrers:
		q.Digest, err = oci.ParseDigest(last)
	case placeUpload:
		if !validUploadID(last) {
			return oci.ErrBlobUploadUnknown
		}
		q.UploadID = last
		if q.Kind == KindUploadFinish {
			q.Digest, err = oci.ParseDigest(q.Query.Get("digest"))
		}
	case placeUploads:
		return q.readUploadStart()
	}
	return err
}

func (q *Request) readReference(last string) error {
	q.Reference = last
	if strings.Contains(last, ":") {
		d, err := oci.ParseDigest(last)
		if err != nil {
			return err
		}
		q.Digest = d
		if q.Kind != KindManifestPut {
			return nil
		}
		q.Tags = q.Query["tag"]
	} else {
		if q.Kind == KindManifestDelete {
			q.Kind = KindTagDelete
		}
		q.Tags = []string{last}
	}
	if len(q.Tags) > maxTags {
		return errTooManyTags
	}
	for _, tag := range q.Tags {
		if !oci.ValidTag(tag) {
			return oci.ErrTagInvalid.With(tag)
		}
	}
	return nil
}

var errTooManyTags = &oci.Error{Code: "TAG_INVALID", Status: http.StatusRequestURITooLong, Text: "too many tags in one request"}

func (q *Request) readUploadStart() error {
	var err error
	if d := q.Query.Get("mount"); d != "" {
		q.Kind = KindMount
		if q.From = q.Query.Get("from"); q.From != "" && !oci.ValidRepository(q.From) {
			return oci.ErrNameInvalid
		}
		q.Digest, err = oci.ParseDigest(d)
		return err
	}
	if d := q.Query.Get("digest"); d != "" {
		if q.Digest, err = oci.ParseDigest(d); err != nil {
			return err
		}
		q.Algorithm = q.Digest.Algorithm()
	}
	switch algorithm := digest.Algorithm(q.Query.Get("digest-algorithm")); algorithm {
	case "":
	case digest.SHA256, digest.SHA512:
		q.Algorithm = algorithm
	default:
		return oci.ErrDigestInvalid.With("only sha256 and sha512 are supported")
	}
	return nil
}

func validUploadID(id string) bool {
	if len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
