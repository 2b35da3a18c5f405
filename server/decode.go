package server

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/suggest"
)

// readTimeout is how long a client may take to send a body.
const readTimeout = 60 * time.Second

// A request type has fields tagged path:"name" and query:"name", of the kinds that setParameter knows, and at most one
// tagged body:"json" (a wire type) or body:"raw" (bytes). Embedded structs count as their fields.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, "the query of the address cannot be read", "escape % and ; in it")
	}
	known := map[string]bool{}
	value := reflect.ValueOf(into).Elem()
	for _, field := range reflect.VisibleFields(value.Type()) {
		to := value.FieldByIndex(field.Index)
		if name := field.Tag.Get("path"); name != "" {
			err = setParameter(to, name, r.PathValue(name))
		} else if name := field.Tag.Get("query"); name != "" {
			known[name] = true
			if len(query[name]) > 1 {
				return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the parameter %s is there twice", name), "keep one of them")
			}
			if query.Has(name) {
				err = setParameter(to, name, query.Get(name))
			}
		} else if kind := field.Tag.Get("body"); kind != "" {
			err = decodeBody(w, r, kind, to)
		}
		if err != nil {
			return err
		}
	}
	return unknownParameter(query, known)
}

func unknownParameter(query url.Values, known map[string]bool) error {
	for name := range query {
		if known[name] {
			continue
		}
		names := make([]string, 0, len(known))
		for k := range known {
			names = append(names, k)
		}
		hint := ""
		if near := suggest.Nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("unknown parameter %q", cut(name)), hint)
	}
	return nil
}

// cut keeps what a client sent short where it is repeated.
func cut(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}

func setParameter(to reflect.Value, name, text string) error {
	bad := func(what string) error {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the parameter %s is not %s", name, what), "")
	}
	switch to.Interface().(type) {
	case string:
		to.SetString(text)
	case bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return bad("true or false")
		}
		to.SetBool(on)
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return bad("a whole number from 0 on")
		}
		to.SetInt(n)
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return bad("a duration such as 30s")
		}
		to.SetInt(int64(d))
	case time.Time:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return bad("a time such as 2026-01-31T12:00:00Z")
		}
		to.Set(reflect.ValueOf(t))
	default:
		panic("server: no parameter can be of type " + to.Type().String()) // found by the first test of the route
	}
	return nil
}

func decodeBody(w http.ResponseWriter, r *http.Request, kind string, to reflect.Value) error {
	limit := int64(api.MaxBody)
	if kind == "raw" {
		limit = api.MaxLogChunk
	} else if err := checkContentType(r); err != nil {
		return err
	}
	if r.Header.Get("Content-Encoding") != "" {
		return pierhead.NewProblem(pierhead.ErrBadInput, "the body is compressed", "send it as it is")
	}
	data, err := readBody(w, r, limit)
	if err != nil {
		return err
	}
	if kind == "raw" {
		to.SetBytes(data)
		return nil
	}
	return api.Decode(data, to.Addr().Interface())
}

func checkContentType(r *http.Request) error {
	written := r.Header.Get("Content-Type")
	if written == "" {
		return nil
	}
	if mediaType, _, err := mime.ParseMediaType(written); err != nil || mediaType != "application/json" {
		return pierhead.NewProblem(pierhead.ErrBadInput, "the body is not sent as JSON", "set the header Content-Type: application/json")
	}
	return nil
}

// readBody reads at most limit bytes within readTimeout. The deadline is taken away again: it would end a long poll.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readTimeout)) // not every ResponseWriter of a test can
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the body is longer than %d bytes", limit), "send less at once")
	}
	if err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the body broke off", "send it again")
	}
	return data, nil
}
