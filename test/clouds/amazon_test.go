package clouds

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/amazontest"
)

// A14, A15, A16, seed 001: what the node's role may read is pulled with no registry entry at all, from another account too
// once that account's repository says so.
func TestAmazonNode(t *testing.T) {
	w := newWorld(t)
	cloud := w.amazon()
	w.in(cloud.Handler)
	role := cloud.Role("aws", ours, "cluster_node_role", amazontest.Trust{})
	cloud.SetInstance(&amazontest.Instance{Role: role})
	image, digest, arn := w.ecr(t, cloud, ours, region, "ml/train")
	other, otherDigest, otherARN := w.ecr(t, cloud, theirs, region, "shared/train")
	h := w.house(t)

	h.fails(t, image, "ecr:GetAuthorizationToken at api.ecr.eu-west-1.amazonaws.com was refused", "assumed-role/cluster_node_role", "the anonymous pull that followed failed too",
		"Hint: a cloud admin attaches AmazonEC2ContainerRegistryReadOnly")
	mayPull(mayPull(role, arn), otherARN)
	h.runs(t, image, digest)
	h.explains(t, image, "arn:aws:sts::"+ours+":assumed-role/cluster_node_role/", "with nothing configured")
	h.fails(t, other, "answered 403 DENIED", "ecr:BatchGetImage", otherARN, "lets the node's identity read this repository")
	cloud.Repository(otherARN, role.ARN)
	h.runs(t, other, otherDigest)
}

// Where else a node's role comes from: an ECS task, a service account of EKS by IRSA, and by Pod Identity. Each is told by
// explain, and proved by the registry.
func TestAmazonIdentities(t *testing.T) {
	w := newWorld(t)
	cloud := w.amazon()
	w.in(cloud.Handler)
	image, _, arn := w.ecr(t, cloud, ours, region, "ml/train")
	const subject = "system:serviceaccount:pierhead:agent"
	issuer := cloud.NewIssuer("https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE")
	trust := amazontest.Trust{Issuer: issuer.URL, Audience: "sts.amazonaws.com", Subject: subject}
	task, irsa, pod := cloud.Role("aws", ours, "task", amazontest.Trust{}), cloud.Role("aws", ours, "irsa", trust), cloud.Role("aws", ours, "pod", amazontest.Trust{})
	for _, role := range []*amazontest.Principal{task, irsa, pod} {
		mayPull(role, arn)
	}
	cloud.Associate(issuer, subject, pod)
	token := func(audience string) string {
		path := filepath.Join(w.dir, audience)
		must(t, os.WriteFile(path, []byte(issuer.Token(audience, subject, time.Hour)), 0o600))
		return path
	}
	for role, variables := range map[*amazontest.Principal][]string{
		task: {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=" + cloud.Task(task)},
		irsa: {"AWS_ROLE_ARN=" + irsa.ARN, "AWS_WEB_IDENTITY_TOKEN_FILE=" + token("sts.amazonaws.com"), "AWS_REGION=" + region},
		pod:  {"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://" + podMetadata + "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + token(amazontest.PodAudience)},
	} {
		name := role.ARN[strings.LastIndex(role.ARN, "/")+1:]
		t.Run(name, func(t *testing.T) {
			h := w.office(t, variables...)
			h.explains(t, image, "arn:aws:sts::"+ours+":assumed-role/"+name+"/", "with nothing configured")
			h.add(t, words("ecr --match "+ours+".dkr.ecr.*.amazonaws.com/* --identity node --sample "+image)...)
		})
	}
}

// A14: a node that is in no cloud pulls a public image of a registry where another node's identity would count, at once and
// anonymously; a private one it cannot, and says why.
func TestAmazonNobody(t *testing.T) {
	w := newWorld(t)
	cloud := w.amazon()
	private, _, _ := w.ecr(t, cloud, ours, region, "ml/train")
	public := "public.ecr.aws/acme/train:v1"
	digest := w.store.put(t, public)
	w.keep(cloud.AccessKey(cloud.User("aws", ours, "nobody")).Secret)
	h := w.house(t)
	begun := time.Now()
	h.runs(t, public, digest.String())
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the public image took %s", took)
	}
	h.explains(t, public, "is pulled anonymously", "node identity: ")
	h.fails(t, private, private+" cannot be pulled", "answered 401: Not Authorized", "Hint: ")
	for _, request := range w.asked("public.ecr.aws") {
		if strings.Contains(request, "AWS") {
			t.Errorf("a login came: %s", request)
		}
	}
}

// V4, V7, I7: access keys, as user name and password of a secret and typed in, for two accounts side by side; a role of
// another account with an external id; ECR Public.
func TestAmazonKeys(t *testing.T) {
	w := newWorld(t)
	cloud := w.amazon()
	image, digest, arn := w.ecr(t, cloud, ours, region, "ml/train")
	other, otherDigest, otherARN := w.ecr(t, cloud, theirs, "us-east-1", "ml/train")
	user := mayPull(cloud.User("aws", ours, "pier"), arn)
	key := cloud.AccessKey(user)
	otherKey := cloud.AccessKey(mayPull(cloud.User("aws", theirs, "pier"), otherARN))
	h := w.house(t)
	host, otherHost := strings.Split(image, "/")[0], strings.Split(other, "/")[0]
	secret := h.lay(t, "ours", `{"username": "`+key.ID+`", "password": "`+key.Secret+`"}`)
	h.add(t, "ours", "--match", host+"/*", "--secret", secret, "--sample", image)
	h.adds(t, otherKey.Secret, "theirs", "--match", otherHost+"/*", "--username", otherKey.ID, "--password-stdin", "--sample", other)
	h.runs(t, image, digest)
	h.runs(t, other, otherDigest)
	h.explains(t, image, "as arn:aws:iam::"+ours+":user/pier")
	h.explains(t, other, "as arn:aws:iam::"+theirs+":user/pier", "typed in")

	shared, sharedDigest, sharedARN := w.ecr(t, cloud, theirs, "eu-central-1", "shared/train")
	role := mayPull(cloud.Role("aws", theirs, "readers", amazontest.Trust{Principals: []string{"arn:aws:iam::" + ours + ":root"}, ExternalID: "acme-7"}), sharedARN)
	user.Allow("sts:AssumeRole", role.ARN)
	assume := words("shared --match " + strings.Split(shared, "/")[0] + "/* --secret " + secret + " --sample " + shared + " --assume-role " + role.ARN)
	h.refuses(t, 7, append([]string{"registry", "add"}, append(assume, "--external-id", "other-1")...), "sts:AssumeRole", role.ARN, "external")
	h.add(t, append(assume, "--external-id", "acme-7")...)
	h.runs(t, shared, sharedDigest)
	h.explains(t, shared, "arn:aws:sts::"+theirs+":assumed-role/readers/")

	public := "public.ecr.aws/acme/train:v1"
	publicDigest := w.store.put(t, public)
	reader := cloud.User("aws", ours, "public").Allow("ecr-public:GetAuthorizationToken", "*").Allow("sts:GetServiceBearerToken", "*")
	publicKey := cloud.AccessKey(reader)
	content := `{"username": "` + publicKey.ID + `", "password": "` + publicKey.Secret + `"}`
	h.refuses(t, 0, words("registry add public --match public.ecr.aws/acme/* --type ecr --secret "+h.lay(t, "public", content)+" --sample "+public), "unproved", public+" is public")
	w.asked("public.ecr.aws")
	h.runs(t, public, publicDigest.String())
	if !slices.Contains(w.asked("public.ecr.aws"), "GET /token/ AWS") {
		t.Error("the pull from ECR Public was without the login, and counts against the limit of those who have none")
	}
}
