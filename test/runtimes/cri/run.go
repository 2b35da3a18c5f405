package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// run makes a pod with one container, waits for its end and removes it. The image must be there.
func run(ctx context.Context, runtime cri.RuntimeServiceClient, image string, command []string) (said string, err error) {
	logs, err := os.MkdirTemp("", "cri")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(logs)) }()
	pod := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "run", Uid: "run", Namespace: "default"}, LogDirectory: logs,
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}}}}
	sandbox, err := runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pod})
	if err != nil {
		return "", fmt.Errorf("making the pod: %w", err)
	}
	defer func() { err = errors.Join(err, remove(ctx, runtime, sandbox.PodSandboxId)) }()
	container, err := runtime.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sandbox.PodSandboxId, SandboxConfig: pod,
		Config: &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: image}, Command: command, LogPath: "c.log"}})
	if err != nil {
		return "", fmt.Errorf("making the container: %w", err)
	}
	if _, err := runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: container.ContainerId}); err != nil {
		return "", fmt.Errorf("starting the container: %w", err)
	}
	status, err := ended(ctx, runtime, container.ContainerId)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(logs, "c.log"))
	if err == nil && status.ExitCode != 0 {
		err = fmt.Errorf("the container ended with exit code %d: %s", status.ExitCode, status.Reason)
	}
	return string(text), err
}

// ended waits until a container has.
func ended(ctx context.Context, runtime cri.RuntimeServiceClient, id string) (*cri.ContainerStatus, error) {
	for {
		answer, err := runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
		if err != nil {
			return nil, err
		}
		if answer.Status.State == cri.ContainerState_CONTAINER_EXITED {
			return answer.Status, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// remove takes a pod away with all that is in it.
func remove(ctx context.Context, runtime cri.RuntimeServiceClient, sandbox string) error {
	_, err := runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: sandbox})
	_, second := runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: sandbox})
	return errors.Join(err, second)
}
