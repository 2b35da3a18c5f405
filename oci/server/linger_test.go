package server_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/server"
)

// fullRegistry has no room for anything.
type fullRegistry struct{ oci.Unsupported }

func (fullRegistry) StartUpload(context.Context, string, digest.Algorithm) (oci.Upload, error) {
	return nil, oci.ErrFull
}

func (fullRegistry) Upload(context.Context, string, string) (oci.Upload, error) {
	return nil, oci.ErrFull
}

// A client that sends all of a layer before it looks at the answer used to see a reset connection instead of it.
func TestAnswerReachesWhoSendsFirst(t *testing.T) {
	listening := httptest.NewServer(server.New(server.Config{Registry: fullRegistry{}, Authorizer: server.Open{}}))
	defer listening.Close()
	for range 5 {
		connection, err := net.Dial("tcp", strings.TrimPrefix(listening.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		const size = 16 << 20
		fmt.Fprintf(connection, "PATCH /v2/a/b/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
		part := make([]byte, 64<<10)
		for sent := 0; sent < size; sent += len(part) {
			if _, err := connection.Write(part); err != nil {
				t.Fatalf("after %d bytes: %v", sent, err)
			}
		}
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		connection.Close()
		if answer.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("the answer is %s", answer.Status)
		}
	}
}
