package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"pierhead.dev/pierhead/api"
)

// documentPath is where the OpenAPI document is.
const documentPath = "/api/openapi.json"

// security is the name of the one way to authenticate.
const security = "token"

// document is the OpenAPI document before any route is in it.
func document(version string) *huma.OpenAPI {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schemas.RegisterTypeAlias(reflect.TypeFor[api.Sealed](), reflect.TypeFor[any]())
	schemas.RegisterTypeAlias(reflect.TypeFor[api.Projects](), reflect.TypeFor[any]())
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Pierhead", Version: version,
			Description: "Access to private container images. Every answer that is no success has the body {\"error\": {\"code\", \"message\", \"hint\"}}.",
		},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				security: {Type: "http", Scheme: "bearer", Description: "A token from `pier token create`: Authorization: Bearer pier_…"},
			},
		},
		Security: []map[string][]string{{security: {}}},
	}
}

// describe puts an operation into the document, made from the same types that decode and send it.
func (s *Server) describe(o operation, in, out reflect.Type) *huma.Operation {
	described := &huma.Operation{
		OperationID: o.id, Method: o.method, Path: api.Prefix + o.path, Tags: []string{o.tag}, Summary: o.summary,
		Responses: map[string]*huma.Response{"default": s.jsonResponse("What went wrong.", reflect.TypeFor[api.Error]())},
	}
	for _, field := range reflect.VisibleFields(in) {
		if p := s.parameter(field); p != nil {
			described.Parameters = append(described.Parameters, p)
		}
		switch field.Tag.Get("body") {
		case "json":
			described.RequestBody = &huma.RequestBody{Required: true, Content: s.content("application/json", field.Type)}
		case "raw":
			described.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
			}}
		}
	}
	switch {
	case o.stream:
		described.Responses["200"] = &huma.Response{Description: "The text, as it comes.", Content: map[string]*huma.MediaType{
			"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}},
		}}
	case out == reflect.TypeFor[none]():
		described.Responses["204"] = &huma.Response{Description: "Done."}
	case o.created:
		described.Responses["201"] = s.jsonResponse("Made.", out)
	default:
		described.Responses["200"] = s.jsonResponse("The answer.", out)
	}
	if o.poll {
		described.Responses["204"] = &huma.Response{Description: "Nothing happened while the request waited."}
	}
	s.api.OpenAPI().AddOperation(described)
	return described
}

// parameter is a field tagged path or query as the document has it, or nil.
func (s *Server) parameter(field reflect.StructField) *huma.Param {
	name, place := field.Tag.Get("path"), "path"
	if name == "" {
		name, place = field.Tag.Get("query"), "query"
	}
	if name == "" {
		return nil
	}
	schema := s.schema(field.Type)
	if field.Type == reflect.TypeFor[time.Duration]() {
		schema = &huma.Schema{Type: huma.TypeString, Description: "A duration such as 30s."}
	}
	return &huma.Param{Name: name, In: place, Required: place == "path", Description: field.Tag.Get("doc"), Schema: schema}
}

func (s *Server) schema(t reflect.Type) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(t, true, "")
}

func (s *Server) content(mediaType string, t reflect.Type) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{mediaType: {Schema: s.schema(t)}}
}

func (s *Server) jsonResponse(description string, t reflect.Type) *huma.Response {
	return &huma.Response{Description: description, Content: s.content("application/json", t)}
}

// serveDocument prints the document once, when all routes are in it.
func (s *Server) serveDocument() error {
	s.finishSchemas()
	text, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	s.mux.HandleFunc(http.MethodGet+" "+documentPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text)
	})
	return nil
}

// finishSchemas describes the two types that encode themselves: what reflection sees of them is not what is sent.
func (s *Server) finishSchemas() {
	schemas := s.api.OpenAPI().Components.Schemas
	text := &huma.Schema{Type: huma.TypeString}
	set := func(schema, property string, forms ...*huma.Schema) {
		if of := schemas.Map()[schema]; of != nil && of.Properties[property] != nil {
			of.Properties[property].OneOf = forms
		}
	}
	set("Credential", "sealed", text, schemas.Schema(reflect.TypeFor[api.SealedView](), true, ""))
	set("Registry", "projects", &huma.Schema{Type: huma.TypeString, Enum: []any{"all"}}, &huma.Schema{Type: huma.TypeArray, Items: text})
	for _, schema := range schemas.Map() {
		for name, property := range schema.Properties {
			if strings.HasSuffix(name, "_at") && property.Type == huma.TypeString {
				property.Format = "date-time"
			}
		}
	}
}
