package amazontest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// A Secret is one of Secrets Manager's.
type Secret struct {
	ARN string

	cloud    *Cloud
	versions []secretVersion // the newest last
	deleted  bool
	readers  []string // principals of its resource policy
	kms      string   // ARN of a customer-managed key; "" is Amazon's own
	disabled bool     // that key is
}

type secretVersion struct {
	id      string
	content []byte
	binary  bool
}

// Secret makes a secret without content; the six characters at its ARN's end are the service's choice.
func (c *Cloud) Secret(partition, region, account, name string) *Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Secret{cloud: c, ARN: fmt.Sprintf("arn:%s:secretsmanager:%s:%s:secret:%s-%s", partition, region, account, name, strings.ToUpper(secretText(5))[:6])}
	c.secrets[s.ARN] = s
	return s
}

// Put makes content the current version; what was current becomes the previous.
func (s *Secret) Put(content []byte) { s.put(content, false) }

// PutBinary is Put for a SecretBinary.
func (s *Secret) PutBinary(content []byte) { s.put(content, true) }

func (s *Secret) put(content []byte, binary bool) {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	s.versions = append(s.versions, secretVersion{id: secretText(20), content: content, binary: binary})
	if len(content) > 0 {
		s.cloud.made = append(s.cloud.made, string(content))
	}
}

// Delete marks the secret for deletion.
func (s *Secret) Delete() {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	s.deleted = true
}

// Share lets a principal of another account read, by the resource policy.
func (s *Secret) Share(principal string) {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	s.readers = append(s.readers, principal)
}

// Encrypt puts the secret under a customer-managed key: readers need kms:Decrypt on it.
func (s *Secret) Encrypt(key string, disabled bool) {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	s.kms, s.disabled = key, disabled
}

var suffixed = regexp.MustCompile(`^(.*)-[A-Za-z0-9]{6}$`)

// find looks a secret up by its full ARN, or by one without the six characters where no other has that name.
func (c *Cloud) find(id string) *Secret {
	if s := c.secrets[id]; s != nil {
		return s
	}
	if suffixed.MatchString(id) {
		return nil // taken for a full ARN, which is why names should not end so
	}
	var found *Secret
	for arn, s := range c.secrets {
		if parts := suffixed.FindStringSubmatch(arn); parts != nil && parts[1] == id {
			if found != nil {
				return nil
			}
			found = s
		}
	}
	return found
}

func (c *Cloud) getSecretValue(k *Key, at place, body []byte) (any, *apiError) {
	var in struct{ SecretID, VersionID, VersionStage string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &apiError{http.StatusBadRequest, "SerializationException", ""}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.find(in.SecretID)
	if s != nil && strings.Split(s.ARN, ":")[3] != at.region {
		s = nil
	}
	missing := &apiError{http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."}
	resource := in.SecretID
	if s != nil {
		resource = s.ARN
	}
	switch foreign := s != nil && strings.Split(s.ARN, ":")[4] != k.by.account(); {
	case !k.by.may("secretsmanager:GetSecretValue", resource), foreign && !slices.Contains(s.readers, k.by.ARN):
		return nil, denied(k, "secretsmanager:GetSecretValue", resource)
	case s == nil:
		return nil, missing
	case s.deleted:
		return nil, &apiError{http.StatusBadRequest, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."}
	}
	return c.openVersion(k, s, in.VersionStage)
}

func (c *Cloud) openVersion(k *Key, s *Secret, stage string) (any, *apiError) {
	back := 1
	if stage == "AWSPREVIOUS" {
		back = 2
	}
	switch {
	case stage != "" && stage != "AWSCURRENT" && stage != "AWSPREVIOUS", len(s.versions) < back:
		return nil, &apiError{http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: " + stage}
	case s.kms != "" && s.disabled:
		return nil, &apiError{http.StatusBadRequest, "DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key."}
	case s.kms != "" && !k.by.may("kms:Decrypt", s.kms):
		return nil, &apiError{http.StatusBadRequest, "AccessDeniedException", "Access to KMS is not allowed"}
	}
	v := s.versions[len(s.versions)-back]
	answer := map[string]any{"ARN": s.ARN, "Name": s.ARN[strings.LastIndex(s.ARN, ":")+1:], "VersionId": v.id, "VersionStages": []string{stage}}
	if v.binary {
		answer["SecretBinary"] = base64.StdEncoding.EncodeToString(v.content)
	} else {
		answer["SecretString"] = string(v.content)
	}
	return answer, nil
}
