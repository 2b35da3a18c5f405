// Package kubelet has a real kubelet pull private images through pier-credential-provider: by containerd, from a registry
// that nobody here wrote, with a real API server where it is about service accounts. Kubernetes is built from its module,
// which takes long, so it is a target of its own: make test-kubelet.
//
// The kubelet hides what its plugin says from whoever looks at a pod. So where a pull goes wrong, the tests look at the
// kubelet's log and at `pier node status`.
package kubelet
