package image

import (
	"regexp"
	"strings"
)

// A Vendor is whose registries a host is one of. Its text is the registry type of the same name.
type Vendor string

// The vendors whose registries are known by their hosts.
const (
	VendorECR       Vendor = "ecr"       // Amazon, private and public
	VendorGCP       Vendor = "gcp"       // Google: Artifact Registry, and gcr.io
	VendorACR       Vendor = "acr"       // Azure
	VendorDockerHub Vendor = "dockerhub" // docker.io
	VendorJFrog     Vendor = "jfrog"     // JFrog's own cloud
)

// Cloud tells whether the vendor's registries take logins made of a node's identity, and of those only: then its logins go
// to hosts that pass VendorOf, and a pattern may have a wildcard in its host.
func (v Vendor) Cloud() bool { return v == VendorECR || v == VendorGCP || v == VendorACR }

// An ECRHost is the host of one account's registry at Amazon, in its parts; of ECR Public only Public is set.
type ECRHost struct {
	Public    bool
	Account   string // 12 digits
	Region    string // "eu-west-1"
	FIPS      bool
	DualStack bool
	Suffix    string // "amazonaws.com", "amazonaws.com.cn", "on.aws", …
}

// ecrHost is the pattern of AWS's own helpers (amazon-ecr-credential-helper, ecr-login/api/client.go): every partition,
// FIPS and dual-stack.
var ecrHost = regexp.MustCompile(`^(\d{12})\.dkr([.-])ecr(-fips)?\.([a-z0-9][a-z0-9_-]*)\.` +
	`(amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// ParseECRHost reads a canonical host of Amazon's; anything else, a look-alike or a port, is false.
func ParseECRHost(host string) (ECRHost, bool) {
	if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
		return ECRHost{Public: true}, true
	}
	parts := ecrHost.FindStringSubmatch(host)
	if parts == nil {
		return ECRHost{}, false
	}
	return ECRHost{Account: parts[1], DualStack: parts[2] == "-", FIPS: parts[3] != "", Region: parts[4], Suffix: parts[5]}, true
}

// gcpHost: multi-regional gcr.io, LOCATION-docker.pkg.dev, and the regional endpoints docker.LOCATION.rep.pkg.dev. Other
// names below gcr.io are Google's own public registries and take nobody's login.
var gcpHost = regexp.MustCompile(`^(?:(?:us\.|eu\.|asia\.|marketplace\.)?gcr\.io|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?-docker\.pkg\.dev|docker\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.rep\.pkg\.dev)$`)

// acrHost: REGISTRY.azurecr.io and its regional REGISTRY.REGION.geo.azurecr.io, in every cloud of Azure's. With a domain
// name label the registry's name has a hyphen.
var acrHost = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+\.geo)?\.azurecr\.(io|cn|us|de)$`)

// ACRCloud is the top-level domain of a canonical host of Azure's, which says in which of its clouds the registry is: "io",
// "cn", "us" or "de"; anything else is false.
func ACRCloud(host string) (string, bool) {
	parts := acrHost.FindStringSubmatch(host)
	if parts == nil {
		return "", false
	}
	return parts[1], true
}

var jfrogHost = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)*\.jfrog\.io$`)

// VendorOf tells whose registry a canonical host is, "" for nobody known. The patterns are anchored at both ends and know
// no ports: what passes is that vendor's, and a cloud's token may go there.
func VendorOf(host string) Vendor {
	if _, ok := ParseECRHost(host); ok {
		return VendorECR
	}
	switch {
	case host == Hub:
		return VendorDockerHub
	case gcpHost.MatchString(host):
		return VendorGCP
	case acrHost.MatchString(host):
		return VendorACR
	case jfrogHost.MatchString(host):
		return VendorJFrog
	}
	return ""
}

// examples are what a "*" in a host may stand for, so that some host of each form passes VendorOf.
var examples = []string{"123456789012", "us-east-1", "us", "a"}

// Vendor tells whose registries a pattern's hosts are: the host's vendor, or where it has wildcards that of some host which
// it covers ("*.dkr.ecr.*.amazonaws.com" is Amazon's).
func (p Pattern) Vendor() Vendor {
	if strings.Count(p.host, "*") > 3 {
		return ""
	}
	return vendorOfGlob(p.host)
}

func vendorOfGlob(host string) Vendor {
	if !HasGlob(host) {
		return VendorOf(host)
	}
	for _, example := range examples {
		if vendor := vendorOfGlob(strings.Replace(host, "*", example, 1)); vendor != "" {
			return vendor
		}
	}
	return ""
}

// VendorOfMatch tells whose registries all of a registry's patterns are for; "" when they are not of one vendor, or one
// does not parse.
func VendorOfMatch(match []string) Vendor {
	var vendor Vendor
	for i, text := range match {
		p, err := ParsePattern(text)
		if err != nil {
			return ""
		}
		switch v := p.Vendor(); {
		case i == 0:
			vendor = v
		case v != vendor:
			return ""
		}
	}
	return vendor
}
