package image

import (
	"fmt"
	"strconv"
	"strings"
)

// CheckSave refuses what a registry should not be saved with: a wildcard in the last two labels of the host, which would
// hand the credential to hosts of strangers, and a port that nobody can dial, which every pull would fail at. Errors:
// ErrWideHost, ErrHost.
func (p Pattern) CheckSave() error {
	if port, ok := p.port(); ok && !isPort(port) {
		return fault("match pattern", p.written, ErrHost, "ports go from 1 to 65535, and "+port+" is none of them")
	}
	if !p.hostIsWide() {
		return nil
	}
	return fault("match pattern", p.written, ErrWideHost, "write the domain out, as in *.azurecr.io/*, so that the credential goes to no stranger's host")
}

// port is what stands behind the host's name or literal.
func (p Pattern) port() (string, bool) {
	_, rest, isLiteral := strings.Cut(p.host, "]")
	if !isLiteral {
		rest = p.host
	}
	_, port, ok := strings.Cut(rest, ":")
	return port, ok
}

// isPort is stricter than the grammar of references, which takes any digits.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

func (p Pattern) hostIsWide() bool {
	if !p.HostHasGlob() {
		return false
	}
	name, _, _ := strings.Cut(p.host, ":")
	labels := strings.Split(name, ".")
	for _, label := range labels[max(0, len(labels)-2):] {
		if HasGlob(label) {
			return true
		}
	}
	return false
}

// Warnings says, one sentence each, what is legal but likely a mistake, such as a placeholder copied from a manual.
func (p Pattern) Warnings() []string {
	var warnings []string
	name, _, _ := strings.Cut(p.host, ":")
	labels := strings.Split(name, ".")
	for _, text := range append(labels, strings.Split(p.path, "/")...) {
		if isPlaceholder(text) {
			warnings = append(warnings, fmt.Sprintf("%q looks like a placeholder: write what it stands for", text))
		}
	}
	if account, ok := ecrAccount(labels); ok && !HasGlob(account) && (len(account) != 12 || !allDigits(account)) {
		warnings = append(warnings, fmt.Sprintf("%q is no AWS account: hosts of ECR begin with its 12 digits", account))
	}
	if written, _, _ := strings.Cut(p.written, "/"); !strings.ContainsAny(written, ".:*?[") && p.host != "localhost" {
		warnings = append(warnings, fmt.Sprintf("images are never written with the host %q, which has neither a dot nor a port: for Docker Hub write %s/%s/...", p.host, Hub, p.host))
	}
	return warnings
}

// isPlaceholder knows the words that the manuals of the clouds and platforms leave to be filled in.
func isPlaceholder(s string) bool {
	switch s {
	case "my-account-id", "account-id", "aws-account-id", "my-region", "region", "my-project-id", "project-id", "xxxxxxxxxxxx":
		return true
	}
	return strings.HasPrefix(s, "your-") || strings.HasPrefix(s, "your_")
}

// ecrAccount returns the first label of <account>.dkr.ecr.<region>.amazonaws.com[.cn].
func ecrAccount(labels []string) (account string, ok bool) {
	if len(labels) < 6 || labels[1] != "dkr" || labels[2] != "ecr" || labels[4] != "amazonaws" {
		return "", false
	}
	return labels[0], true
}
