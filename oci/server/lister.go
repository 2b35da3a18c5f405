package server

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/oci"
)

func listTags(w http.ResponseWriter, c *call) error {
	page, err := pageOf(c.Query)
	if err != nil {
		return err
	}
	list, err := c.registry.Tags(c.ctx(), c.Repository, page)
	if err != nil {
		return err
	}
	next(w, "/v2/"+c.Repository+"/tags/list", page, list)
	return writeJSON(w, http.StatusOK, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.Repository, notNil(list.Names)})
}

func listRepositories(w http.ResponseWriter, c *call) error {
	page, err := pageOf(c.Query)
	if err != nil {
		return err
	}
	list, err := c.registry.Repositories(c.ctx(), page)
	if err != nil {
		return err
	}
	next(w, "/v2/_catalog", page, list)
	return writeJSON(w, http.StatusOK, "application/json", struct {
		Repositories []string `json:"repositories"`
	}{notNil(list.Names)})
}

func notNil(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// pageOf reads n and last.
func pageOf(query url.Values) (oci.Page, error) {
	page := oci.Page{N: oci.All, Last: query.Get("last")}
	if text := query.Get("n"); text != "" {
		n, ok := parseOffset(text)
		if !ok {
			return page, oci.ErrPageInvalid.With(text)
		}
		page.N = int(min(n, 1<<30))
	}
	return page, nil
}

// next names the page after this one.
func next(w http.ResponseWriter, path string, page oci.Page, list oci.List) {
	if !list.More || len(list.Names) == 0 {
		return
	}
	query := url.Values{"last": {list.Names[len(list.Names)-1]}}
	if page.N >= 0 {
		query.Set("n", strconv.Itoa(page.N))
	}
	w.Header().Set("Link", "<"+path+"?"+query.Encode()+`>; rel="next"`)
}

// errNoReferrers is what a registry without referrers answers, so that clients look at the tag instead (OCI
// distribution specification, "Unavailable Referrers API").
var errNoReferrers = &oci.Error{Code: oci.ErrUnsupported.Code, Status: http.StatusNotFound, Text: "referrers are not supported"}

func listReferrers(w http.ResponseWriter, c *call) error {
	filter := oci.ReferrerFilter{ArtifactType: c.Query.Get("artifactType")}
	if last := c.Query.Get("last"); last != "" {
		d, err := oci.ParseDigest(last)
		if err != nil {
			return err
		}
		filter.Last = d
	}
	found, err := c.registry.Referrers(c.ctx(), c.Repository, c.Digest, filter)
	if errors.Is(err, oci.ErrUnsupported) {
		return errNoReferrers
	}
	if err != nil {
		return err
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	for _, r := range found.Referrers {
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: r.MediaType, Digest: r.Digest, Size: r.Size, ArtifactType: r.ArtifactType, Annotations: r.Annotations,
		})
	}
	if found.Filtered && filter.ArtifactType != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if found.More && len(found.Referrers) > 0 {
		nextReferrers(w, c, filter.ArtifactType, found.Referrers[len(found.Referrers)-1].Digest)
	}
	return writeJSON(w, http.StatusOK, v1.MediaTypeImageIndex, index)
}

func nextReferrers(w http.ResponseWriter, c *call, artifactType string, last digest.Digest) {
	query := url.Values{"last": {last.String()}}
	if artifactType != "" {
		query.Set("artifactType", artifactType)
	}
	w.Header().Set("Link", "</v2/"+c.Repository+"/referrers/"+c.Digest.String()+"?"+query.Encode()+`>; rel="next"`)
}
