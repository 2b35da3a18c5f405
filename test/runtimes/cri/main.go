// Command cri asks a container runtime over its CRI socket, as the kubelet does:
//
//	cri SOCKET pull IMAGE    prints the image's id, the digest of its configuration
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
	if len(os.Args) != 4 || os.Args[2] != "pull" {
		fmt.Fprintln(os.Stderr, "usage: cri SOCKET pull IMAGE")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	id, err := pull(ctx, os.Args[1], os.Args[3], os.Getenv("CRI_LOGIN"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(id)
}

// pull waits for the socket, too: a runtime that was just started answers a moment later.
func pull(ctx context.Context, socket, image, login string) (id string, err error) {
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer connection.Close()
	request := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}}
	if user, password, ok := strings.Cut(login, ":"); ok {
		request.Auth = &cri.AuthConfig{Username: user, Password: password}
	}
	answer, err := cri.NewImageServiceClient(connection).PullImage(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return "", err
	}
	return answer.ImageRef, nil
}
