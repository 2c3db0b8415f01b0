// Package identity holds the vocabulary of workload identity: trust domains, SPIFFE IDs, SVIDs and trust bundles.
//
// In: strings and certificates. Out: opaque, comparable values. All values are immutable and safe for concurrent use.
package identity

import (
	"fmt"
	"strings"
)

// TrustDomain is the root of a set of identities, such as "cluster.local" (SPIFFE-ID section 2.1). The zero value is "no domain".
type TrustDomain struct{ name string }

// DefaultTrustDomain is Istio's default.
const DefaultTrustDomain = "cluster.local"

// ParseTrustDomain accepts the characters of SPIFFE-ID section 2.1 (lower-case letters, digits, dot, dash, underscore), at most 255 bytes.
func ParseTrustDomain(s string) (TrustDomain, error) {
	if s == "" || len(s) > 255 {
		return TrustDomain{}, fmt.Errorf("parse trust domain %q: want 1 to 255 characters", s)
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return TrustDomain{}, fmt.Errorf("parse trust domain %q: character %q is not allowed", s, c)
		}
	}
	return TrustDomain{name: s}, nil
}

// String is the bare name, without scheme.
func (t TrustDomain) String() string { return t.name }

// IsZero says whether this is "no domain".
func (t TrustDomain) IsZero() bool { return t.name == "" }

// ID is the SPIFFE ID of a workload in Istio's form: spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT. The zero value is "unknown".
type ID struct {
	domain             TrustDomain
	namespace, account string
	uri, both          string // made once, because policies compare them on every request
}

// NewID builds an ID from parts that are already valid Kubernetes names.
func NewID(domain TrustDomain, namespace, account string) ID {
	uri := "spiffe://" + domain.name + "/ns/" + namespace + "/sa/" + account
	return ID{domain: domain, namespace: namespace, account: account, uri: uri, both: namespace + "/" + account}
}

// ParseID accepts only Istio's form of a SPIFFE ID.
func ParseID(s string) (ID, error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	if !ok {
		return ID{}, fmt.Errorf("parse SPIFFE ID %q: it does not start with spiffe://", s)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[2] == "" || parts[4] == "" {
		return ID{}, fmt.Errorf("parse SPIFFE ID %q: want spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT", s)
	}
	domain, err := ParseTrustDomain(parts[0])
	if err != nil {
		return ID{}, fmt.Errorf("parse SPIFFE ID %q: %w", s, err)
	}
	return NewID(domain, parts[2], parts[4]), nil
}

// TrustDomain is the domain that vouches for the ID.
func (i ID) TrustDomain() TrustDomain { return i.domain }

// Namespace is the Kubernetes namespace in the ID.
func (i ID) Namespace() string { return i.namespace }

// ServiceAccount is the Kubernetes service account in the ID.
func (i ID) ServiceAccount() string { return i.account }

// Account is Istio's NAMESPACE/SERVICE-ACCOUNT.
func (i ID) Account() string { return i.both }

// IsZero says whether the identity is unknown.
func (i ID) IsZero() bool { return i.uri == "" }

// String is the URI form, or "" for the unknown identity.
func (i ID) String() string { return i.uri }

// Principal is Istio's form without scheme, as AuthorizationPolicy.rules.from.source.principals matches it: TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT.
func (i ID) Principal() string { return strings.TrimPrefix(i.uri, "spiffe://") }
