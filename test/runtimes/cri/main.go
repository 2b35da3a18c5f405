// Command cri asks a container runtime over its CRI socket, as the kubelet does:
//
//	cri SOCKET pull IMAGE              prints the image's id, the digest of its configuration
//	cri SOCKET run IMAGE COMMAND …     runs a command in a pod on the node's network, and prints what it printed
//
// CRI_LOGIN, USER:PASSWORD, is sent along as the kubelet sends an image pull secret.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if len(os.Args) < 4 || os.Args[2] != "run" && (os.Args[2] != "pull" || len(os.Args) != 4) {
		fmt.Fprintln(os.Stderr, "usage: cri SOCKET pull IMAGE | run IMAGE COMMAND …")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	said, err := ask(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	fmt.Println(said)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ask waits for the socket, too: a runtime that was just started answers a moment later.
func ask(ctx context.Context, socket, verb, image string, command []string) (said string, err error) {
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if verb == "run" {
		return run(ctx, cri.NewRuntimeServiceClient(connection), image, command)
	}
	return pull(ctx, connection, image, os.Getenv("CRI_LOGIN"))
}

func pull(ctx context.Context, connection *grpc.ClientConn, image, login string) (id string, err error) {
	request := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}}
	if user, password, ok := strings.Cut(login, ":"); ok {
		request.Auth = &cri.AuthConfig{Username: user, Password: password}
	}
	answer, err := cri.NewImageServiceClient(connection).PullImage(ctx, request)
	if err != nil {
		return "", err
	}
	return answer.ImageRef, nil
}
