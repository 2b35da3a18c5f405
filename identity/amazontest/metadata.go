package amazontest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Instance is the EC2 machine that the cloud's metadata service is on.
type Instance struct {
	Role     *Principal    // of its instance profile; nil: none
	Hops     int           // how many network hops the answers may go; 0 is 1, as on EC2
	Distance int           // how many hops away the asker is; 0 is 1, 2 is a container behind a bridge
	Off      bool          // the operator switched the end-point off
	V1       bool          // it takes requests without a session token too, as older machines do
	Silent   bool          // no instance: packets to its address vanish
	Foreign  bool          // another cloud's metadata service is at the address
	Life     time.Duration // of the role's sessions; 0 is 6 h

	session *Key
	tokens  map[string]time.Time
}

// SetInstance puts the metadata service of an instance at 169.254.169.254; nil takes it away.
func (c *Cloud) SetInstance(i *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i != nil && i.tokens == nil {
		i.tokens = map[string]time.Time{}
	}
	c.instance = i
}

// Rotate gives the instance's role a new session, as EC2 does some hours before the old one ends.
func (c *Cloud) Rotate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instance.session = nil
}

// EndSession revokes the instance's session; the next one who asks the metadata service gets a new one.
func (c *Cloud) EndSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instance.session.ended = true
	c.instance.session = nil
}

const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	rolesPath   = "/latest/meta-data/iam/security-credentials/"
)

func (c *Cloud) serveMetadata(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	i := c.instance
	c.mu.Unlock()
	switch {
	case i == nil || i.Foreign:
		http.Error(w, "Missing required header \"Metadata-Flavor\": \"Google\"", http.StatusForbidden)
	case i.Off:
		http.Error(w, "Forbidden", http.StatusForbidden)
	case r.URL.Path == "/latest/api/token":
		c.serveMetadataToken(w, r, i)
	default:
		c.serveMetadataData(w, r, i)
	}
}

// serveMetadataToken hands out a session token; the answer's packets die after the hops that the instance allows.
func (c *Cloud) serveMetadataToken(w http.ResponseWriter, r *http.Request, i *Instance) {
	c.record("imds:Token", Call{Host: r.Host})
	done, fault := c.fault("imds:Token").suffer(w, r)
	if done {
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	switch {
	case fault != nil:
		http.Error(w, fault.message, fault.status)
	case r.Method != http.MethodPut:
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	case r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "Forbidden", http.StatusForbidden)
	case err != nil || ttl < 1 || ttl > 21600:
		http.Error(w, "Bad Request", http.StatusBadRequest)
	case max(i.Distance, 1) > max(i.Hops, 1):
		<-r.Context().Done()
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		token := "AQAEA" + secretText(40)
		i.tokens[token] = c.now().Add(time.Duration(ttl) * time.Second)
		c.made = append(c.made, token)
		w.Header().Set(ttlHeader, strconv.Itoa(ttl))
		_, _ = w.Write([]byte(token))
	}
}

func (c *Cloud) serveMetadataData(w http.ResponseWriter, r *http.Request, i *Instance) {
	name, isCredentials := strings.CutPrefix(r.URL.Path, rolesPath)
	operation := "imds:Roles"
	if isCredentials && name != "" {
		operation = "imds:Credentials"
	}
	c.record(operation, Call{Host: r.Host})
	done, fault := c.fault(operation).suffer(w, r)
	if done {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	token := r.Header.Get(tokenHeader)
	if until, known := i.tokens[token]; !(known && c.now().Before(until)) && !(token == "" && i.V1) {
		if token == "" {
			c.calls["imds:WithoutToken"]++
		}
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	switch {
	case fault != nil:
		http.Error(w, fault.message, fault.status)
	case r.Method != http.MethodGet || !isCredentials || i.Role == nil:
		http.Error(w, "Not Found", http.StatusNotFound)
	case name == "":
		_, _ = w.Write([]byte(i.roleName()))
	case name != i.roleName():
		http.Error(w, "Not Found", http.StatusNotFound)
	default:
		writeCredentials(w, c.instanceSession(i), map[string]string{"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": c.now().UTC().Format(time.RFC3339)})
	}
}

// instanceSession is the session that the instance has now; it is renewed before its end.
func (c *Cloud) instanceSession(i *Instance) *Key {
	life := i.Life
	if life == 0 {
		life = 6 * time.Hour
	}
	if i.session == nil || i.session.by != i.Role || c.now().After(i.session.Expires.Add(-life/4)) {
		i.session = c.session(i.Role, "i-0123456789abcdef0", life)
	}
	return i.session
}

func (i *Instance) roleName() string { return i.Role.ARN[strings.LastIndex(i.Role.ARN, "/")+1:] }

func writeCredentials(w http.ResponseWriter, k *Key, more map[string]string) {
	body := map[string]string{"AccessKeyId": k.ID, "SecretAccessKey": k.Secret, "Token": k.Token, "Expiration": k.Expires.UTC().Format(time.RFC3339)}
	for name, value := range more {
		body[name] = value
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// Task makes the credentials of an ECS task and returns what AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is in it.
func (c *Cloud) Task(role *Principal) (relativeURI string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	relativeURI = "/v2/credentials/" + secretText(16)
	c.containers[relativeURI] = role
	c.made = append(c.made, relativeURI)
	return relativeURI
}

func (c *Cloud) serveECS(w http.ResponseWriter, r *http.Request) {
	c.record("ecs:Credentials", Call{Host: r.Host})
	done, fault := c.fault("ecs:Credentials").suffer(w, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	role := c.containers[r.URL.Path]
	switch {
	case done:
	case fault != nil:
		writeContainerError(w, fault.status, fault.code, fault.message)
	case role == nil || r.Method != http.MethodGet:
		writeContainerError(w, http.StatusBadRequest, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found")
	default:
		writeCredentials(w, c.session(role, "0123456789abcdef0123456789abcdef", 6*time.Hour), map[string]string{"RoleArn": role.ARN})
	}
}

// PodAudience is the audience of the tokens that EKS Pod Identity takes.
const PodAudience = "pods.eks.amazonaws.com"

// Associate lets a service account's tokens get a role from EKS Pod Identity, whose end-point is
// http://169.254.170.23/v1/credentials.
func (c *Cloud) Associate(i *Issuer, subject string, role *Principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods[i.URL+" "+subject] = role
}

func (c *Cloud) servePodIdentity(w http.ResponseWriter, r *http.Request) {
	c.record("eks:Credentials", Call{Host: r.Host})
	done, fault := c.fault("eks:Credentials").suffer(w, r)
	claims, err := c.readToken(r.Header.Get("Authorization"))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case done:
	case fault != nil:
		writeContainerError(w, fault.status, fault.code, fault.message)
	case r.URL.Path != "/v1/credentials" || r.Method != http.MethodGet:
		http.NotFound(w, r)
	case err != nil || !claims.Audience.Contains(PodAudience):
		writeContainerError(w, http.StatusBadRequest, "InvalidTokenException", "the service account token is not valid")
	case c.pods[claims.Issuer+" "+claims.Subject] == nil:
		writeContainerError(w, http.StatusNotFound, "ResourceNotFoundException", "no pod identity association")
	default:
		writeCredentials(w, c.session(c.pods[claims.Issuer+" "+claims.Subject], "eks-cluster-pod", 6*time.Hour), map[string]string{"AccountId": "123456789012"})
	}
}

func writeContainerError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}
