package jfrog

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// claims are what an access token says of itself. They are JFrog's to verify; here they only save a question.
type claims struct {
	Subject string  `json:"sub"`
	Issued  float64 `json:"iat"`
	Expires float64 `json:"exp"`
}

// claimsOf reads a signed token; of anything else it is zero.
func claimsOf(token string) claims {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// instant is a claim as a time; zero where there is none, or one that no calendar has.
func instant(seconds float64) time.Time {
	if seconds <= 0 || seconds >= 253402300800 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// userOf is the user name in a subject: "jfac@01h…/users/ada", and "ada" as older tokens have it. A token for groups or a
// service has none.
func userOf(subject string) string {
	name := subject
	if _, after, found := strings.Cut(subject, "/users/"); found {
		name = after
	}
	if strings.ContainsAny(name, "/:") || strings.HasPrefix(name, "jfac@") || strings.HasPrefix(name, "jfrt@") || len(name) > 255 {
		return ""
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return ""
		}
	}
	return name
}
