package agent

import (
	"slices"
	"testing"
)

func TestArgv(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  []string
		shell bool
	}{
		{[]string{"train --epochs=3"}, []string{"train", "--epochs=3"}, false},
		{[]string{"", "  train 'a b'  ", ""}, []string{"train", "a b"}, false},
		{[]string{"python train.py | tee log"}, []string{"sh", "-ec", "python train.py | tee log"}, true},
		{[]string{"pip install x", "python train.py"}, []string{"sh", "-ec", "pip install x\npython train.py"}, true},
		{[]string{"cd /work"}, []string{"sh", "-ec", "cd /work"}, true},
		{[]string{"one\ntwo"}, []string{"sh", "-ec", "one\ntwo"}, true},
	} {
		got, shell := argv(test.lines)
		if !slices.Equal(got, test.want) || shell != test.shell {
			t.Errorf("argv(%q) = %q, %v; want %q, %v", test.lines, got, shell, test.want, test.shell)
		}
	}
}
