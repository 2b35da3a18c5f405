package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The programs that are measured.
const (
	emptyProgram = "empty"
	ourHelper    = "docker-credential-pier"
	theirHelper  = "docker-credential-ecr-login"
)

// build makes the programs of the benchmark, all alike. It runs in the directory of this module.
func build(ctx context.Context, dir string) error {
	note("building the programs")
	for _, b := range []struct {
		module   string
		packages []string
	}{
		{".", []string{"./empty", "github.com/awslabs/amazon-ecr-credential-helper/ecr-login/cli/" + theirHelper}},
		{"..", []string{"./cmd/pier", "./cmd/" + ourHelper}},
	} {
		if _, err := os.Stat(filepath.Join(b.module, "go.mod")); err != nil {
			return errors.New("run it in the directory bench/, or with make bench-doors")
		}
		arguments := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}, b.packages...)
		command := exec.CommandContext(ctx, "go", arguments...)
		command.Dir, command.Env = b.module, append(os.Environ(), "CGO_ENABLED=0")
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("building %v: %w\n%s", b.packages, err, output)
		}
	}
	return nil
}
