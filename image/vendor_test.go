package image

import "testing"

func TestV4VendorOf(t *testing.T) {
	for host, want := range map[string]Vendor{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com":                VendorECR,
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com":       VendorECR,
		"123456789012.dkr-ecr.us-east-1.on.aws":                       VendorECR,
		"123456789012.dkr-ecr-fips.us-east-1.on.aws":                  VendorECR,
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":            VendorECR,
		"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": VendorECR,
		"123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu":            VendorECR,
		"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov":               VendorECR,
		"123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov":           VendorECR,
		"123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":          VendorECR,
		"123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov":         VendorECR,
		"public.ecr.aws":     VendorECR,
		"ecr-public.aws.com": VendorECR,
		"gcr.io":             VendorGCP, "us.gcr.io": VendorGCP, "eu.gcr.io": VendorGCP, "asia.gcr.io": VendorGCP,
		"europe-west1-docker.pkg.dev": VendorGCP, "us-docker.pkg.dev": VendorGCP, "docker.europe-west1.rep.pkg.dev": VendorGCP,
		"myregistry.azurecr.io": VendorACR, "reg-abc123.azurecr.io": VendorACR, "myregistry.eastus.geo.azurecr.io": VendorACR,
		"myregistry.azurecr.cn": VendorACR, "myregistry.azurecr.us": VendorACR, "myregistry.azurecr.de": VendorACR,
		"docker.io":        VendorDockerHub,
		"example.jfrog.io": VendorJFrog, "acme-docker.jfrog.io": VendorJFrog,
	} {
		if got := VendorOf(host); got != want {
			t.Errorf("VendorOf(%q) = %q, want %q", host, got, want)
		}
	}
}

// Each of these looks like a vendor's host and is not one.
func TestP18VendorOfLookAlikes(t *testing.T) {
	for _, host := range []string{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.com", "evil.com.123456789012.dkr.ecr.us-east-1.amazonaws.com",
		"12345678901.dkr.ecr.us-east-1.amazonaws.com", "my-account-id.dkr.ecr.my-region.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com:8443",
		"123456789012.dkr.ecr.us-east-1.amazonaws.org", "123456789012.dkr.ecr.us-east-1.evil.amazonaws.com", "123456789012xdkr.ecr.us-east-1.amazonaws.com",
		"public.ecr.aws.evil.com", "evilpublic.ecr.aws", "ecr.aws", "vpce-0a.dkr.ecr.us-east-1.vpce.amazonaws.com",
		"evilgcr.io", "gcr.io.evil.com", "k8s.gcr.io", "mirror.gcr.io", "evil.us.gcr.io", "gcr.io:8443", "-docker.pkg.dev", "docker.pkg.dev",
		"evil.europe-west1-docker.pkg.dev", "europe-west1-docker.pkg.dev.evil.com", "europe-west1-dockerxpkg.dev", "docker.a.b.rep.pkg.dev", "npm.pkg.dev",
		"azurecr.io", "evil.myregistry.azurecr.io", "myregistry.azurecr.io.evil.com", "myregistryazurecr.io", "myregistry.azurecr.com", "myregistry.eastus.data.azurecr.io", "-a.azurecr.io",
		"index.docker.io", "docker.io.evil.com", "evildocker.io", "auth.docker.io",
		"jfrog.io", "example.jfrog.io.evil.com", "evil-jfrog.io", "", "localhost", "10.0.0.1", "[::1]",
		"MYREGISTRY.azurecr.io", // not canonical
	} {
		if got := VendorOf(host); got != "" {
			t.Errorf("VendorOf(%q) = %q", host, got)
		}
	}
}

func TestParseECRHost(t *testing.T) {
	for host, want := range map[string]ECRHost{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com":     {Account: "123456789012", Region: "us-east-1", Suffix: "amazonaws.com"},
		"123456789012.dkr-ecr-fips.us-west-2.on.aws":       {Account: "123456789012", Region: "us-west-2", FIPS: true, DualStack: true, Suffix: "on.aws"},
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn": {Account: "123456789012", Region: "cn-north-1", Suffix: "amazonaws.com.cn"},
		"public.ecr.aws": {Public: true},
	} {
		if got, ok := ParseECRHost(host); !ok || got != want {
			t.Errorf("%q: %+v, %v; want %+v", host, got, ok, want)
		}
	}
}

func TestPatternVendor(t *testing.T) {
	for text, want := range map[string]Vendor{
		"*.dkr.ecr.*.amazonaws.com/*":          VendorECR,
		"123456789012.dkr.ecr.*.amazonaws.com": VendorECR,
		"*.dkr.ecr.eu-*.amazonaws.com/team/*":  VendorECR,
		"*-docker.pkg.dev/*":                   VendorGCP,
		"*.gcr.io/*":                           VendorGCP,
		"*.azurecr.io/*":                       VendorACR,
		"myregistry.azurecr.io/*":              VendorACR,
		"docker.io/me/*":                       VendorDockerHub,
		"index.docker.io/me/*":                 VendorDockerHub,
		"*.example.com/*":                      "",
		"*.azurecr.io.evil.com/*":              "",
		"*.dkr.ecr.*.amazonaws.com.evil.com/*": "",
		"quay.io/acme/*":                       "",
	} {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Vendor(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if v := VendorOfMatch([]string{"gcr.io/a/*", "us-docker.pkg.dev/a/*"}); v != VendorGCP {
		t.Errorf("got %q", v)
	}
	if v := VendorOfMatch([]string{"gcr.io/a/*", "a.azurecr.io/*"}); v != "" {
		t.Errorf("got %q", v)
	}
}

func FuzzVendorOf(f *testing.F) {
	for _, s := range []string{"gcr.io", "a.azurecr.io", "123456789012.dkr.ecr.us-east-1.amazonaws.com", "*.azurecr.io"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if VendorOf(s) == "" {
			return
		}
		if host, err := CanonicalHost(s); err != nil || host != s {
			t.Errorf("%q passes and is %q, %v in canonical form", s, host, err)
		}
	})
}
