package env_test

import (
	"errors"
	"strings"
	"testing"

	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/env"
	"pierhead.dev/pierhead/secret/secrettest"
)

func TestSource(t *testing.T) {
	absent, _ := secret.Parse("env:ABSENT")
	secrettest.Test(t, secrettest.Subject{
		Source: env.New(nil),
		Put: func(t *testing.T, content []byte) secret.Ref {
			t.Setenv("PIER_SECRET_REG_1", string(content))
			ref, _ := secret.Parse("env:REG_1")
			return ref
		},
		Absent: absent,
		Bad:    []string{"env:A-B", "env:A.B", "env:A=B", "env:A/B", "env:$A", "env:" + strings.Repeat("A", 256)},
	})
}

func TestOnlyTheOperatorsVariables(t *testing.T) {
	source := env.New(nil)
	for _, name := range []string{"PATH", "HOME", "PIER_TOKEN", "PIER_SECRET_HOME"} {
		ref, _ := secret.Parse("env:" + name)
		if _, err := source.Get(t.Context(), ref); !errors.Is(err, secret.ErrNotFound) || !strings.Contains(err.Error(), "PIER_SECRET_"+name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
