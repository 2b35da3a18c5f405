// Package pierhead is the nouns of Pierhead, and this comment is the tour of its code.
//
// Pierhead gives compute platforms access to private container images. An organization says once where its images
// live and how to reach them; from then on every project and node pulls them with no change to anyone's code,
// credentials stay where they belong, and every run says exactly which image it used.
//
// One reference walks through the house from left to right, and nothing on the right is imported by anything on its
// left:
//
//	image reference ─► registry ─► secret ─► credential ─► manifest, digest ─► layers ─► container
//	     image         resolve     secret     exchange            oci            blob      engine
//	                   └──────── broker: reference in, credential out ────┘
//
// # Floor 0: words, and the way out
//
// image/ reads references and match patterns, and folds the names of Docker Hub. secret/ has references to secrets,
// which are safe to print, and values, which cannot be printed; its sub-rooms are the stores: a directory, the
// environment, the agent's Kubernetes namespace (secret/k8s), Vault (secret/vault), AWS Secrets Manager (secret/awssm), Azure Key Vault
// (secret/azurekv), Google Secret Manager (secret/gcpsm), and credentials sealed to a data-plane key. credential/ is a
// registry login and the hosts that it is for. egress/ is the only way out to addresses that others choose: dial rules,
// redirects, realms, evidence. internal/ has durable (writes that survive a crash), amend
// (changes to others' files that can be undone), ids, tokens (the signing of
// registry tokens), suggest (the word that somebody meant), skip (a stream that is read again), and tokendir (the OIDC
// tokens that a platform put on a node).
//
// # Floor 1: nouns and bytes
//
// This package has organizations, persons, projects, registries, executions, nodes, events, and the Caller that every
// entry to store and broker takes. blob/ keeps bytes by their digest; blob/disk does so in a directory. projectfile/
// reads valohai.yaml as its platform writes it.
//
// # Floor 2: one job each
//
// resolve/ finds the registry that an image belongs to, and says why; it is pure and fast. exchange/ turns a secret
// into a credential. identity/ is who this node is in a cloud: identity/amazon, identity/google, identity/azure; and for
// which service account of a cluster it is asked: identity/kube. oci/ says what a registry can do, and engine/ what runs
// containers. access/ decides who may do what; audit/ is the log of it. api/ is the wire: types and client.
//
// # Floor 3: the kinds
//
// exchange/basic serves registries with a user name and password, exchange/dockerhub Docker Hub, exchange/jfrog Artifactory; exchange/acr exchanges
// a token of Entra's, which identity/azure gets, for a login at one of Azure's registries, exchange/ecr one of Amazon's
// for a password there, and exchange/gcp makes access tokens for Google's, of whatever Google takes for an identity
// (identity/google); what vendors' user names and tokens look like is in exchange itself (fit.go). oci/client is a
// remote registry, oci/hosted our own on disk, oci/server puts either behind HTTP. engine/docker is Docker and Podman.
// store/ keeps everything in SQLite. dialect/ says registries in the words of Docker, Podman, containerd, the kubelet and
// BuildKit, with a warning for each thing that those cannot say.
//
// # Floor 4 to 6: what combines them
//
// broker/ answers "which credential for this image, and why". agent/ is the node: it fetches work, shows the engine a
// loopback end-point to pull from, and reports. credhelper/ asks the agent for a credential, by hand and within
// milliseconds; credhelper/docker is the protocol of Docker's credential helpers over it, credhelper/kubelet that of the
// kubelet's credential providers. server/ is the control plane over HTTP. cmd/ chooses implementations, and is the only
// place that does; cmd/pier is the program, cmd/docker-credential-pier and cmd/pier-credential-provider the helpers.
//
// test/ has what needs real engines, and bench/ what is measured beside other programs, in a module of its own.
package pierhead
