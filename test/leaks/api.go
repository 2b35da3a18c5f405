package leaks

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Where an API describes itself, and where it is.
const (
	documentPath = "/api/openapi.json"
	apiPrefix    = "/api/v1/"
)

// Bounds of what is fetched from one API.
const (
	mostItems = 100  // of one listing, each with all that is below it
	mostPages = 1000 // of one listing
)

// SearchAPI fetches each of the addresses, and whatever else can be read from their servers: each server's OpenAPI
// document is followed to every GET under /api/v1, with parameters filled in from what listings name. The login's token
// goes to its own server only. It is a failure when an address or a document does not answer 200, when a token is not
// accepted, and when a server breaks down; routes that refuse this caller or cannot be filled in are notes.
func (n *Needle) SearchAPI(ctx context.Context, addresses []string, login Login, report *Report) {
	f, err := newFetcher(n, login, report)
	if err != nil {
		report.fail("log in to %v: %w", login, err)
		return
	}
	defer f.client.CloseIdleConnections()
	var servers []string
	for _, text := range addresses {
		address, err := url.Parse(text)
		if err != nil || address.Host == "" {
			report.fail("%q is no address", text)
			continue
		}
		if a := f.get(ctx, address); a != nil && a.status != http.StatusOK {
			report.fail("GET %s answers %d, not 200", address, a.status)
		}
		servers = append(servers, address.Scheme+"://"+address.Host)
	}
	slices.Sort(servers)
	for _, server := range slices.Compact(servers) {
		base, _ := url.Parse(server) // it is a part of what has been parsed
		c := crawler{fetcher: f, base: base, known: map[string][]string{}, seen: map[string][]place{}}
		c.crawl(ctx)
	}
}

// A route is a path that can be fetched, as the OpenAPI document has it.
type route struct {
	path    string   // "/api/v1/organizations/{organization}/members"
	queries []string // names of the parameters in the query
}

func (r route) has(query string) bool { return slices.Contains(r.queries, query) }

func segments(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// parameter is the name in "{name}", or "".
func parameter(segment string) string {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return segment[1 : len(segment)-1]
	}
	return ""
}

// A place is a route with its parameters filled in, that answered.
type place struct {
	path  string
	items []map[string]any // what it lists, if it is a listing
}

// A crawler follows the document of one server.
type crawler struct {
	*fetcher
	base  *url.URL
	known map[string][]string // values of parameters that led to an answer, by name
	seen  map[string][]place  // by the route's path
}

func (c *crawler) crawl(ctx context.Context) {
	document := c.get(ctx, c.base.JoinPath(documentPath))
	if document == nil {
		return
	}
	if document.status != http.StatusOK {
		c.report.fail("GET %s%s answers %d, not 200", c.base, documentPath, document.status)
		return
	}
	routes := routesOf(document.json)
	if len(routes) == 0 {
		c.report.fail("%s%s names nothing to GET under %s", c.base, documentPath, apiPrefix)
		return
	}
	var silent []route
	for _, r := range routes { // shorter ones first: they list what the longer ones need
		if !c.visit(ctx, r, routes) {
			silent = append(silent, r)
		}
	}
	for _, r := range silent {
		if !c.ask(ctx, r) {
			c.report.note("nothing could be read from %s", r.path)
		}
	}
}

// visit fetches a route with all that its parameters can be, and tells whether any of it answered.
func (c *crawler) visit(ctx context.Context, r route, routes []route) bool {
	parts := segments(r.path)
	parent, below := parentOf(parts, routes)
	if parent == "" {
		return !strings.Contains(r.path, "{") && c.fetch(ctx, r, r.path, nil)
	}
	answered := false
	for _, from := range c.seen[parent] {
		if parameter(below[0]) == "" {
			answered = c.fetch(ctx, r, from.path+"/"+strings.Join(below, "/"), nil) || answered
			continue
		}
		for _, item := range from.items[:min(mostItems, len(from.items))] {
			answered = c.fill(ctx, r, from.path, below, item) || answered
		}
		if len(from.items) > mostItems {
			c.report.note("of the %d things that %s lists, %d were read one by one", len(from.items), from.path, mostItems)
		}
	}
	return answered
}

// parentOf is the longest other route that a path begins with, and the rest of the path; "" where there is none, or
// where a parameter of the rest cannot come from what the parent lists.
func parentOf(parts []string, routes []route) (parent string, below []string) {
	for _, other := range routes {
		prefix := segments(other.path)
		if len(prefix) < len(parts) && slices.Equal(prefix, parts[:len(prefix)]) && len(other.path) > len(parent) {
			parent, below = other.path, parts[len(prefix):]
		}
	}
	parametersBegin := slices.IndexFunc(below, func(part string) bool { return parameter(part) != "" })
	if parent == "" || parametersBegin > 0 {
		return "", nil
	}
	return parent, below
}

// fill takes the parameters from an item of a listing: what the item calls like the parameter, else its name or id.
func (c *crawler) fill(ctx context.Context, r route, parent string, below []string, item map[string]any) bool {
	for _, identity := range []string{"name", "id"} {
		values, path := map[string]string{}, parent
		for _, part := range below {
			if name := parameter(part); name != "" {
				value, ok := item[name].(string)
				if !ok {
					value, _ = item[identity].(string)
				}
				values[name], part = value, url.PathEscape(value)
			}
			path += "/" + part
		}
		if !strings.Contains(path, "//") && c.fetch(ctx, r, path, values) {
			return true
		}
	}
	return false
}
