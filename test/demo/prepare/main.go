// Command prepare makes what the demo starts from: a password for a registry, and an image in it that only this
// password opens. The password is read from and written to files; it is in no argument and no environment.
//
//	prepare password DIR           writes DIR/password and DIR/htpasswd
//	prepare image DIR REF PROGRAM  makes an image of one static program and pushes it as user "robot"
//	prepare secret DIR SERVER FILE writes the login as a secret for that server
//	prepare ports N                prints N loopback ports that nobody uses
//	prepare ready URL PID          returns when URL answers 200, or with an error when the process is gone
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/bcrypt"
)

const username = "robot"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "password":
		return makePassword(arguments[1])
	case len(arguments) == 4 && arguments[0] == "image":
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return pushImage(ctx, arguments[1], arguments[2], arguments[3])
	case len(arguments) == 4 && arguments[0] == "secret":
		return writeSecret(arguments[1], arguments[2], arguments[3])
	case len(arguments) == 2 && arguments[0] == "ports":
		return printPorts(arguments[1])
	case len(arguments) == 3 && arguments[0] == "ready":
		return ready(arguments[1], arguments[2])
	}
	return errors.New("usage: prepare password, image, secret, ports or ready, and their arguments")
}

func writeSecret(directory, server, file string) error {
	password, err := os.ReadFile(filepath.Join(directory, "password"))
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]string{"username": username, "password": string(password), "server": server})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// printPorts holds all of them at once, so that they differ.
func printPorts(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for i := range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer listener.Close()
		if i > 0 {
			fmt.Print(" ")
		}
		fmt.Print(listener.Addr().(*net.TCPAddr).Port)
	}
	fmt.Println()
	return nil
}

func ready(url, pid string) error {
	process, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if syscall.Kill(process, 0) != nil {
			return fmt.Errorf("process %d is gone", process)
		}
		answer, err := http.Get(url)
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("%s did not become ready", url)
}

func makePassword(directory string) error {
	password := rand.Text()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(directory, "password"), []byte(password), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, "htpasswd"), []byte(username+":"+string(hash)+"\n"), 0o600)
}

func pushImage(ctx context.Context, directory, reference, program string) error {
	password, err := os.ReadFile(filepath.Join(directory, "password"))
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return err
	}
	if err := await(ctx, ref.Context().RegistryStr()); err != nil {
		return err
	}
	img, err := imageOf(program)
	if err != nil {
		return err
	}
	login := &authn.Basic{Username: username, Password: string(password)}
	if err := remote.Write(ref, img, remote.WithAuth(login), remote.WithContext(ctx)); err != nil {
		return err
	}
	if _, err := remote.Head(ref, remote.WithContext(ctx)); err == nil {
		return fmt.Errorf("%s can be read without the password: this would prove nothing", ref)
	}
	return nil
}

// await returns when something listens at address.
func await(ctx context.Context, address string) error {
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens at %s", address)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// imageOf is FROM scratch, COPY program /bin/.
func imageOf(program string) (v1.Image, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	header := &tar.Header{Name: "bin/" + filepath.Base(program), Mode: 0o755, Size: int64(len(content))}
	if err := errors.Join(w.WriteHeader(header), writeAll(w, content), w.Close()); err != nil {
		return nil, err
	}
	packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, packed)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Env = []string{"PATH=/bin"}
	return mutate.ConfigFile(img, file)
}

func writeAll(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}
