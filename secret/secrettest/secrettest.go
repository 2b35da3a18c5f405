// Package secrettest is what every secret.Source must keep, and a source in memory.
package secrettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pierhead.dev/pierhead/secret"
)

// A Subject is a source under test.
type Subject struct {
	Source secret.Source
	Put    func(t *testing.T, content []byte) secret.Ref // stores content under one name, always the same; replaces
	Absent secret.Ref                                    // well formed, and not there
	Bad    []string                                      // references of its scheme whose names it must refuse
}

// marker is in all content, so that an error with a part of it is found.
const marker = "hunter2"

// Test checks that s keeps the contract of secret.Source.
func Test(t *testing.T, s Subject) {
	t.Run("content", func(t *testing.T) { testContent(t, s) })
	t.Run("no usable content", func(t *testing.T) { testUnusable(t, s) })
	t.Run("references", func(t *testing.T) { testReferences(t, s) })
	t.Run("ended context", func(t *testing.T) { testContext(t, s) })
	t.Run("at once", func(t *testing.T) { testAtOnce(t, s) })
}

func testContent(t *testing.T, s Subject) {
	largest := bytes.Repeat([]byte("x"), secret.MaxContent)
	for _, content := range [][]byte{[]byte(marker), []byte(" " + marker + "\n"), []byte(`{"username":"ü","password":"` + marker + `"}`), largest, []byte("rotated")} {
		ref := s.Put(t, content)
		value, err := s.Source.Get(t.Context(), ref)
		if err != nil {
			t.Fatalf("Get(%s): %v", ref, err)
		}
		if !bytes.Equal(value.Reveal(), content) {
			t.Errorf("Get(%s) gave %d bytes that are not the %d put last", ref, len(value.Reveal()), len(content))
		}
	}
}

func testUnusable(t *testing.T, s Subject) {
	for what, content := range map[string][]byte{"empty": nil, "too long": bytes.Repeat([]byte(marker), secret.MaxContent/len(marker)+1)} {
		expect(t, s, what, s.Put(t, content), secret.ErrContent)
	}
}

func testReferences(t *testing.T, s Subject) {
	expect(t, s, "absent", s.Absent, secret.ErrNotFound)
	expect(t, s, "the zero reference", secret.Ref{}, secret.ErrRef)
	foreign, err := secret.Parse("nobodys-scheme:" + s.Absent.Name())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, s, "another scheme", foreign, secret.ErrRef)
	for _, text := range s.Bad {
		if ref, err := secret.Parse(text); err == nil {
			expect(t, s, text, ref, secret.ErrRef)
		}
	}
}

func testContext(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if value, err := s.Source.Get(ctx, s.Put(t, []byte(marker))); !errors.Is(err, context.Canceled) || !value.Empty() {
		t.Errorf("with an ended context: %v, %v", value, err)
	}
}

func testAtOnce(t *testing.T, s Subject) {
	ref := s.Put(t, []byte(marker))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if value, err := s.Source.Get(t.Context(), ref); err != nil || string(value.Reveal()) != marker {
				t.Errorf("Get among others: %v", err)
			}
		})
	}
	group.Wait()
}

func expect(t *testing.T, s Subject, what string, ref secret.Ref, want error) {
	t.Helper()
	value, err := s.Source.Get(t.Context(), ref)
	switch {
	case !errors.Is(err, want):
		t.Errorf("%s: got %v, want %v", what, err, want)
	case !value.Empty():
		t.Errorf("%s: a value beside the error", what)
	case strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, err, err, secret.HintOf(err)), marker):
		t.Errorf("%s: the error has a part of the secret", what)
	}
}

// Memory is a Source of the scheme "memory", for tests. The zero Memory is empty and ready.
type Memory struct {
	mu      sync.Mutex
	content map[string][]byte
}

// Put stores content as "memory:<name>" and returns that reference; it panics when the name cannot be in one.
func (m *Memory) Put(name string, content []byte) secret.Ref {
	ref, err := secret.Parse("memory:" + name)
	if err != nil {
		panic(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.content == nil {
		m.content = map[string][]byte{}
	}
	m.content[name] = bytes.Clone(content)
	return ref
}

// Get returns what was put last.
func (m *Memory) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if ref.Scheme() != "memory" {
		return secret.Value{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: "not a reference to memory"}
	}
	if err := ctx.Err(); err != nil {
		return secret.Value{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, found := m.content[ref.Name()]
	switch {
	case !found:
		return secret.Value{}, &secret.Error{Kind: secret.ErrNotFound, Ref: ref, Text: "not in memory"}
	case len(content) == 0 || len(content) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "empty, or too long"}
	}
	return secret.NewValue(content), nil
}
