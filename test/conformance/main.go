// Command conformance runs the public OCI distribution conformance suite, at the commit that go.mod pins, against the
// hosted registry, and tells how many checks passed, failed and were skipped. It fails when one failed or was skipped.
//
//	go run .                    every version of the specification that the suite knows
//	go run . -version dev       one of them
//	go run . -results DIR       keep the suite's reports
package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/server"
)

const suite = "github.com/opencontainers/distribution-spec/conformance"

func main() {
	version := flag.String("version", "", `of the specification: "1.0", "1.1" or "dev"; empty runs them all`)
	results := flag.String("results", "", "directory for the suite's reports; empty keeps none")
	flag.Parse()
	versions := []string{"1.0", "1.1", "dev"}
	if *version != "" {
		versions = []string{*version}
	}
	if err := run(versions, *results); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(versions []string, results string) error {
	temp, err := os.MkdirTemp("", "pierhead-conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if results == "" {
		results = filepath.Join(temp, "results")
	}
	if results, err = filepath.Abs(results); err != nil {
		return err
	}
	binary := filepath.Join(temp, "suite")
	build := exec.Command("go", "build", "-o", binary, suite)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building %s: %w", suite, err)
	}
	var errs []error
	for _, version := range versions {
		errs = append(errs, runVersion(version, binary, filepath.Join(temp, version), filepath.Join(results, version)))
	}
	return errors.Join(errs...)
}

// runVersion runs the suite against an empty registry.
func runVersion(version, binary, dir, results string) error {
	for _, d := range []string{dir, results} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	address, stop, err := serve(dir)
	if err != nil {
		return err
	}
	defer stop()
	command := exec.Command(binary)
	command.Dir = results
	command.Env = append(environment(), "OCI_VERSION="+version, "OCI_REGISTRY="+address, "OCI_TLS=disabled", "OCI_RESULTS_DIR="+results, "OCI_LOG=error")
	output, runErr := command.CombinedOutput()
	counts, err := read(filepath.Join(results, "junit.xml"))
	if err != nil {
		return errors.Join(fmt.Errorf("the suite wrote no result: %w\n%s", err, output), runErr)
	}
	passed := counts.Tests - counts.Errors - counts.Failures - counts.Skipped - counts.Disabled
	fmt.Printf("specification %-4s %d passed, %d failed, %d skipped, %d not of this version\n",
		version, passed, counts.Failures+counts.Errors, counts.Skipped, counts.Disabled)
	if counts.Failures+counts.Errors+counts.Skipped > 0 || passed == 0 {
		return fmt.Errorf("specification %s:\n%s", version, output)
	}
	return nil
}

// environment is this process's without settings of the suite.
func environment() []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "OCI_") {
			env = append(env, variable)
		}
	}
	return env
}

// serve serves a hosted registry on loopback, open to all.
func serve(dir string) (address string, stop func(), err error) {
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs")})
	if err != nil {
		return "", nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	registry, err := hosted.Open(hosted.Config{Dir: filepath.Join(dir, "registry"), Blobs: blobs, Log: log})
	if err != nil {
		return "", nil, errors.Join(err, blobs.Close())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, errors.Join(err, registry.Close(), blobs.Close())
	}
	httpServer := &http.Server{
		Handler:           server.New(server.Config{Registry: registry, Authorizer: server.Open{}, Log: log}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go httpServer.Serve(listener)
	return listener.Addr().String(), func() {
		httpServer.Close()
		registry.Close()
		blobs.Close()
	}, nil
}

type counts struct {
	Tests    int `xml:"tests,attr"`
	Errors   int `xml:"errors,attr"`
	Failures int `xml:"failures,attr"`
	Skipped  int `xml:"skipped,attr"`
	Disabled int `xml:"disabled,attr"`
}

func read(name string) (counts, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return counts{}, err
	}
	var c counts
	return c, xml.Unmarshal(data, &c)
}
