package credhelper

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// fieldsOf is what parse keeps of an object, as encoding/json reads it.
func fieldsOf(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case string:
		return value{text: v}
	case json.Number:
		return value{number: v.String()}
	case map[string]any:
		fields := make(map[string]value, len(v))
		for name, field := range v {
			fields[name] = fieldsOf(t, field).(value)
		}
		return value{fields: fields}
	}
	return value{}
}

// depthOf is how deep a valid text is nested.
func depthOf(text string) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			depth++
			deepest = max(deepest, depth)
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
	}
	return deepest
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"username":"robot$a","password":"p\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00","host":"quay.io","cache_for_seconds":-12.5e+3}`,
		`{"a":{"b":[1,[2,{}],"x"],"c":null},"a":true,"d":false}`, `{"reason":"Ümlaut 漢 \ud800 \ud800\u0041 \udc00"}`, " \t\r\n{ } \n", `"` + "\xff" + `"`,
		``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `01`, `1.`, `1e`, `-`, `+1`, `.5`, `tru`, `truex`, `nul`, `"\x"`, `"\u12"`, "\"\n\"", "\"\x00\"", `{}{}`, `{}x`,
		strings.Repeat("[", 16) + strings.Repeat("]", 16), strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), strings.Repeat("[", 1000),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse([]byte(text))
		valid := json.Valid([]byte(text))
		if err == nil != (valid && depthOf(text) <= maxDepth) && !(valid && depthOf(text) == maxDepth+1) { // a scalar counts as one
			t.Fatalf("%q: %v, and encoding/json says %v", text, err, valid)
		}
		if err != nil {
			return
		}
		var want any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if expected := fieldsOf(t, want); !reflect.DeepEqual(got, expected) {
			t.Fatalf("%q\n got %+v\nwant %+v", text, got, expected)
		}
	})
}

func FuzzQuote(f *testing.F) {
	for _, text := range []string{"", "quay.io", "a\"b\\c\nd\x00\x7f", "é漢😀\u2028", "\xff\xfe", "</script>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := Quote(nil, text)
		if strings.ContainsAny(string(quoted), "\n\r") {
			t.Fatalf("%q: more than a line", quoted)
		}
		var standard string
		if err := json.Unmarshal(quoted, &standard); err != nil || standard != replaced(text) {
			t.Fatalf("%q: %q, %v", text, standard, err)
		}
		if own, err := parse(quoted); err != nil || own.text != standard {
			t.Fatalf("%q: %q, %v", text, own.text, err)
		}
	})
}

// replaced has a replacement character for each byte that is not UTF-8.
func replaced(text string) string { return string([]rune(text)) }
