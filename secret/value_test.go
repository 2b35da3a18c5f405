package secret_test

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	texttemplate "text/template"
	"unsafe"

	"pierhead.dev/pierhead/secret"
)

const password = "correct-horse-battery"

// leaks tells whether output has the password in any form that a printer makes of bytes.
func leaks(output string) bool {
	decimal := strings.Trim(fmt.Sprint([]byte(password)), "[]")
	for _, form := range []string{
		password, hex.EncodeToString([]byte(password)), fmt.Sprintf("%X", password), fmt.Sprintf("% x", password), fmt.Sprintf("%# x", []byte(password)),
		decimal, strings.ReplaceAll(decimal, " ", ","), strings.ReplaceAll(decimal, " ", ", "), strings.Trim(fmt.Sprintf("%b", []byte(password)), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(password)), "[]byte{"), "}"), strings.Trim(fmt.Sprintf("%o", []byte(password)), "[]"), strings.Trim(fmt.Sprintf("%c", []byte(password)), "[]"), strings.Trim(fmt.Sprintf("%U", []byte(password)), "[]"),
		base64.StdEncoding.EncodeToString([]byte(password))[:24], base64.RawURLEncoding.EncodeToString([]byte(password))[:24],
	} {
		if strings.Contains(output, form) {
			return true
		}
	}
	return strings.Contains(output, password[:7])
}

type exported struct{ V secret.Value }
type unexported struct{ v secret.Value }
type nested struct {
	A any
	p *unexported
	m map[string]secret.Value
	l []secret.Value
	secret.Value
}

func holders() map[string]any {
	v := secret.NewValue([]byte(password))
	return map[string]any{
		"value": v, "pointer": &v, "exported": exported{v}, "unexported": unexported{v}, "pointers": &unexported{v},
		"nested": &nested{A: v, p: &unexported{v}, m: map[string]secret.Value{"k": v}, l: []secret.Value{v}, Value: v},
		"slice":  []secret.Value{v}, "map": map[string]secret.Value{"k": v}, "any": []any{v, &v},
		"error": fmt.Errorf("with %v and %d: %w", v, v, fmt.Errorf("%x", v)),
	}
}

func TestNothingPrintsAValue(t *testing.T) {
	for what, holder := range holders() {
		for verb := rune('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "# ", "12.3", "+#"} {
				if out := fmt.Sprintf("%"+flags+string(verb), holder); leaks(out) {
					t.Errorf("%s: %%%s%c prints it: %s", what, flags, verb, out)
				}
			}
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", holder, slog.Group("g", slog.Any("k", holder)))
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", holder, slog.Group("g", slog.Any("k", holder)))
		fmt.Fprint(&out, holder, reflect.ValueOf(holder))
		_ = texttemplate.Must(texttemplate.New("").Parse("{{.}} {{printf `%x %d` . .}} {{js .}}")).Execute(&out, holder)
		_ = template.Must(template.New("").Parse("{{.}}<script>x={{.}}</script><a href='{{.}}'>")).Execute(&out, holder)
		dump(&out, reflect.ValueOf(holder), 0)
		if leaks(out.String()) {
			t.Errorf("%s: it is in %s", what, out.String())
		}
	}
}

// dump follows pointers and unexported fields as spew and its kind do.
func dump(out *bytes.Buffer, v reflect.Value, depth int) {
	if depth > 20 || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			dump(out, v.Elem(), depth+1)
		}
	case reflect.Struct:
		addressable := reflect.New(v.Type()).Elem()
		addressable.Set(settable(v))
		for i := range v.NumField() {
			f := addressable.Field(i)
			dump(out, reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			dump(out, v.Index(i), depth+1)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			dump(out, v.MapIndex(k), depth+1)
		}
	case reflect.Func:
		fmt.Fprintf(out, "%#x ", v.Pointer())
	default:
		fmt.Fprintf(out, "%v ", v)
	}
}

// settable copies what reflection would not let out of an unexported field.
func settable(v reflect.Value) reflect.Value {
	if v.CanInterface() {
		return v
	}
	return reflect.Zero(v.Type())
}

func TestTheTestFindsALeak(t *testing.T) {
	var out bytes.Buffer
	dump(&out, reflect.ValueOf(&struct{ b []byte }{[]byte(password)}), 0)
	for _, s := range []string{out.String(), fmt.Sprintf("%d", []byte(password)), fmt.Sprintf("%v", struct{ s string }{password}), fmt.Sprintf("%x", password), fmt.Sprintf("%#v", []byte(password))} {
		if !leaks(s) {
			t.Errorf("%q passes", s)
		}
	}
}

func TestNothingEncodesAValue(t *testing.T) {
	v := secret.NewValue([]byte(password))
	for what, holder := range map[string]any{"value": v, "pointer": &v, "exported": exported{v}, "slice": []secret.Value{v}, "map": map[string]*secret.Value{"k": &v}} {
		var out bytes.Buffer
		if err := json.NewEncoder(&out).Encode(holder); err == nil || leaks(err.Error()) {
			t.Errorf("json of %s: %v", what, err)
		}
		if err := gob.NewEncoder(&out).Encode(holder); err == nil || leaks(err.Error()) {
			t.Errorf("gob of %s: %v", what, err)
		}
		if err := xml.NewEncoder(&out).Encode(holder); err == nil || leaks(err.Error()) {
			t.Errorf("xml of %s: %v", what, err)
		}
		if leaks(out.String()) {
			t.Errorf("%s: %q", what, out.String())
		}
	}
	for _, refuses := range []func() ([]byte, error){encoding.TextMarshaler(v).MarshalText, encoding.BinaryMarshaler(v).MarshalBinary} {
		if out, err := refuses(); err == nil || out != nil {
			t.Errorf("got %q", out)
		}
	}
	var into exported
	if err := json.Unmarshal([]byte(`{"V":"x"}`), &into); err == nil {
		t.Error("a value came from a message")
	}
	beside := struct {
		Name string
		v    secret.Value
	}{"a", v}
	if out, err := json.Marshal(beside); err != nil || string(out) != `{"Name":"a"}` {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestValue(t *testing.T) {
	content := []byte("abc")
	v := secret.NewValue(content)
	content[0] = 'x'
	v.Reveal()[1] = 'x'
	if string(v.Reveal()) != "abc" || v.Empty() {
		t.Errorf("got %q", v.Reveal())
	}
	empty := secret.Value{}
	if !empty.Empty() || empty.Reveal() != nil || !secret.NewValue(nil).Empty() || empty.String() != "(no secret)" || v.String() != "(secret)" {
		t.Error("the empty value")
	}
	for _, c := range []struct {
		a, b secret.Value
		want bool
	}{
		{v, secret.NewValue([]byte("abc")), true}, {v, secret.NewValue([]byte("abd")), false}, {v, secret.NewValue([]byte("abcd")), false},
		{v, empty, false}, {empty, v, false}, {empty, secret.Value{}, true},
	} {
		if c.a.Equal(c.b) != c.want {
			t.Errorf("Equal is %v", !c.want)
		}
	}
}
