package leaks

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// routesOf are the GETs under apiPrefix of an OpenAPI document, those with fewer segments first.
func routesOf(document any) []route {
	root, _ := document.(map[string]any)
	paths, _ := root["paths"].(map[string]any)
	var routes []route
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods, _ := paths[path].(map[string]any)
		get, ok := methods["get"].(map[string]any)
		if !ok || !strings.HasPrefix(path, apiPrefix) {
			continue
		}
		r := route{path: path}
		parameters, _ := get["parameters"].([]any)
		for _, p := range parameters {
			if p, _ := p.(map[string]any); p["in"] == "query" {
				name, _ := p["name"].(string)
				r.queries = append(r.queries, name)
			}
		}
		routes = append(routes, r)
	}
	slices.SortStableFunc(routes, func(a, b route) int { return len(segments(a.path)) - len(segments(b.path)) })
	return routes
}

// fetch gets one filled-in path with all its pages, and remembers what it lists and which values led there.
func (c *crawler) fetch(ctx context.Context, r route, path string, values map[string]string) bool {
	items, ok := c.pages(ctx, r, path, url.Values{})
	if !ok {
		return false
	}
	for name, value := range values {
		if !slices.Contains(c.known[name], value) {
			c.known[name] = append(c.known[name], value)
		}
	}
	c.seen[r.path] = append(c.seen[r.path], place{path: path, items: items})
	return true
}

// ask tries a route that wants a query: for each of its parameters that is known from other routes, all values.
func (c *crawler) ask(ctx context.Context, r route) bool {
	if strings.Contains(r.path, "{") {
		return false
	}
	answered := false
	for _, query := range r.queries {
		for _, value := range c.known[query] {
			_, ok := c.pages(ctx, r, r.path, url.Values{query: {value}})
			answered = answered || ok
		}
	}
	return answered
}

// pages gets a listing from its newest item to its oldest; what is no listing has one page. It tells whether the first
// page could be read.
func (c *crawler) pages(ctx context.Context, r route, path string, query url.Values) (all []map[string]any, ok bool) {
	for range mostPages {
		address, err := c.base.Parse(path)
		if err != nil {
			c.report.fail("%s is no path: %w", path, err)
			return all, ok
		}
		address.RawQuery = query.Encode()
		a := c.get(ctx, address)
		if a == nil || !c.good(address, a.status) {
			return all, ok
		}
		ok = true
		items := itemsOf(a.json)
		all = append(all, items...)
		if len(items) == 0 || !r.has("before") {
			return all, ok
		}
		last, _ := items[len(items)-1]["id"].(string)
		if last == "" || last == query.Get("before") {
			return all, ok
		}
		query.Set("before", last)
	}
	c.report.note("%s was read for %d pages only", path, mostPages)
	return all, ok
}

// good tells whether a status is a success; 401 and those of a broken server are failures.
func (c *crawler) good(address *url.URL, status int) bool {
	if status == http.StatusUnauthorized || status >= 500 {
		c.report.fail("GET %s answers %d", address, status)
	}
	return status == http.StatusOK || status == http.StatusNoContent
}

// itemsOf are the objects that an answer lists: it is an array, or an object with one array.
func itemsOf(body any) []map[string]any {
	list, _ := body.([]any)
	if object, ok := body.(map[string]any); ok {
		arrays := 0
		for _, value := range object {
			if array, ok := value.([]any); ok {
				list, arrays = array, arrays+1
			}
		}
		if arrays != 1 {
			return nil
		}
	}
	var items []map[string]any
	for _, one := range list {
		if item, ok := one.(map[string]any); ok {
			items = append(items, item)
		}
	}
	return items
}
