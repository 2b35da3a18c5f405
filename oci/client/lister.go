package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

var (
	_ oci.Lister  = (*Client)(nil)
	_ oci.Catalog = (*Client)(nil)
)

const (
	maxPage  = 4 << 20 // bytes of a page of a list
	maxPages = 1000    // that are followed, so that a list ends
)

// Tags implements oci.Lister.
func (c *Client) Tags(ctx context.Context, repository string, page oci.Page) (oci.List, error) {
	if err := checkRepository(repository); err != nil {
		return oci.List{}, err
	}
	k := c.listCall("tags of "+c.host+"/"+repository, repository+"/tags/list", purpose{repository, pull})
	return c.names(ctx, k, page, func(body []byte) ([]string, error) {
		var answer struct {
			Tags []string `json:"tags"`
		}
		err := json.Unmarshal(body, &answer)
		return answer.Tags, err
	})
}

// Repositories implements oci.Catalog. Many registries have none.
func (c *Client) Repositories(ctx context.Context, page oci.Page) (oci.List, error) {
	k := c.listCall("repositories of "+c.host, "_catalog", purpose{})
	return c.names(ctx, k, page, func(body []byte) ([]string, error) {
		var answer struct {
			Repositories []string `json:"repositories"`
		}
		err := json.Unmarshal(body, &answer)
		return answer.Repositories, err
	})
}

func (c *Client) listCall(operation, path string, p purpose) call {
	return call{
		operation: operation, about: aboutName, method: http.MethodGet, url: c.at(path), purpose: p,
		header: http.Header{"Accept": {"application/json"}}, maxBody: maxPage, idempotent: true,
	}
}

// names reads one page, or all of them.
func (c *Client) names(ctx context.Context, k call, page oci.Page, read func([]byte) ([]string, error)) (oci.List, error) {
	if page.N == 0 {
		return oci.List{}, nil
	}
	query := url.Values{}
	if page.N > 0 {
		query.Set("n", strconv.Itoa(page.N))
	}
	if page.Last != "" {
		query.Set("last", page.Last)
	}
	k.url.RawQuery = query.Encode()
	var out oci.List
	for range maxPages {
		body, next, _, err := c.page(ctx, k)
		if err != nil {
			return oci.List{}, err
		}
		names, err := read(body)
		if err != nil {
			return oci.List{}, contentError(k, nil, oci.ErrUnavailable, c.host+": the list is not JSON")
		}
		out.Names = append(out.Names, names...)
		out.More = next != nil
		if next == nil || page.N > 0 && len(out.Names) >= page.N {
			break
		}
		k.url = next
	}
	out.Names = sortedNames(out.Names)
	if page.N > 0 && len(out.Names) > page.N {
		out.Names, out.More = out.Names[:page.N], true
	}
	return out, nil
}

// page reads one answer, and where the next is: by Link, at the registry only. A list is no reason to go elsewhere.
func (c *Client) page(ctx context.Context, k call) ([]byte, *url.URL, http.Header, error) {
	r, err := c.do(ctx, k)
	if err != nil {
		return nil, nil, nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, nil, sendError(k, PlaceRegistry, c.base.Host, err)
	}
	link := nextLink(r.Header.Values("Link"))
	if link == "" {
		return body, nil, r.Header, nil
	}
	next, err := k.url.Parse(link)
	if err != nil || !c.egress.IsHost(next) || r.Foreign {
		return nil, nil, nil, contentError(k, r, oci.ErrUnavailable, "the list goes on at another place: "+egress.Clean(strings.SplitN(link, "?", 2)[0], 100))
	}
	return body, next, r.Header, nil
}

// nextLink finds `<address>; rel="next"` (RFC 8288).
func nextLink(lines []string) string {
	for _, line := range lines {
		for line != "" {
			_, rest, found := strings.Cut(line, "<")
			address, parameters, closed := strings.Cut(rest, ">")
			if !found || !closed {
				break
			}
			parameters, line, _ = strings.Cut(parameters, "<")
			for p := range strings.SplitSeq(strings.TrimRight(parameters, ", "), ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(strings.TrimSpace(name), "rel") && slices.Contains(strings.Fields(strings.Trim(strings.TrimSpace(value), `"`)), "next") {
					return address
				}
			}
			if line != "" {
				line = "<" + line
			}
		}
	}
	return ""
}

// Referrers implements oci.Lister, all pages at once. A registry without the list has perhaps a tag in its place (OCI
// distribution specification, "Unavailable Referrers API").
func (c *Client) Referrers(ctx context.Context, repository string, d digest.Digest, filter oci.ReferrerFilter) (oci.Referrers, error) {
	if err := checkBlob(repository, d); err != nil {
		return oci.Referrers{}, err
	}
	k := c.listCall(fmt.Sprintf("referrers of %s in %s/%s", d, c.host, repository), repository+"/referrers/"+d.String(), purpose{repository, pull})
	k.header.Set("Accept", "application/vnd.oci.image.index.v1+json")
	if filter.ArtifactType != "" {
		k.url.RawQuery = url.Values{"artifactType": {filter.ArtifactType}}.Encode()
	}
	var found []oci.Referrer
	for range maxPages {
		body, next, _, err := c.page(ctx, k)
		if errors.Is(err, oci.ErrNameUnknown) && found == nil {
			body, err = c.referrersTag(ctx, repository, d)
		}
		if err != nil {
			return oci.Referrers{}, err
		}
		page, err := readReferrers(body)
		if err != nil {
			return oci.Referrers{}, contentError(k, nil, oci.ErrUnavailable, c.host+": the list of referrers is not an index")
		}
		found = append(found, page...)
		if next == nil {
			break
		}
		k.url = next
	}
	return chosen(found, filter), nil
}

// referrersTag reads the index that clients keep under a tag made of the digest.
func (c *Client) referrersTag(ctx context.Context, repository string, d digest.Digest) ([]byte, error) {
	m, err := c.Manifest(ctx, repository, d.Algorithm().String()+"-"+d.Encoded()[:min(64, len(d.Encoded()))])
	if errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown) {
		return nil, nil
	}
	return m.Content, err
}

func readReferrers(body []byte) ([]oci.Referrer, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var index struct {
		Manifests []struct {
			MediaType    string            `json:"mediaType"`
			Digest       string            `json:"digest"`
			Size         int64             `json:"size"`
			ArtifactType string            `json:"artifactType"`
			Annotations  map[string]string `json:"annotations"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, err
	}
	var out []oci.Referrer
	for _, m := range index.Manifests {
		d, err := oci.ParseDigest(m.Digest)
		if err != nil {
			return nil, err
		}
		out = append(out, oci.Referrer{Descriptor: oci.Descriptor{MediaType: m.MediaType, Digest: d, Size: m.Size}, ArtifactType: m.ArtifactType, Annotations: m.Annotations})
	}
	return out, nil
}

// chosen orders and filters here, whatever the registry did of it.
func chosen(found []oci.Referrer, filter oci.ReferrerFilter) oci.Referrers {
	found = slices.DeleteFunc(found, func(r oci.Referrer) bool {
		return filter.ArtifactType != "" && r.ArtifactType != filter.ArtifactType || filter.Last != "" && r.Digest <= filter.Last
	})
	slices.SortFunc(found, func(a, b oci.Referrer) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	found = slices.CompactFunc(found, func(a, b oci.Referrer) bool { return a.Digest == b.Digest })
	return oci.Referrers{Referrers: found, Filtered: filter.ArtifactType != ""}
}
